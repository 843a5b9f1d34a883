"""The scale section that goes with the pools: it loads, it fits, and it names what exists."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from gdrl import settings
from gdrl.config import RunConfig, TrainScale

Pools = dict[str, dict[str, Any]]


@pytest.fixture
def config(root: Path) -> RunConfig:
    return settings.load(root / "cluster/scale.toml")


def _recipes(root: Path) -> list[Path]:
    recipes = sorted((root / "jobs/recipes").glob("*.toml"))
    return [path for path in recipes if "scale" not in tomllib.loads(path.read_text())]


def _train_scales(config: RunConfig) -> dict[str, TrainScale]:
    names = ("vae", "encoders", "unmixing", "disgraph")
    return {name: getattr(config.scale, name) for name in names}


def test_it_holds_where_and_how_wide_and_nothing_else(root: Path) -> None:
    tree = tomllib.loads((root / "cluster/scale.toml").read_text())
    assert set(tree) == {"s3", "scale"}
    assert set(tree["s3"]) == {"cache"}


def test_the_cache_is_on_the_nodes_own_disk(root: Path, config: RunConfig) -> None:
    cluster = yaml.safe_load((root / "ray_cluster.yaml").read_text())
    (folder,) = re.findall(r"--volume \S+:(\S+)", " ".join(cluster["docker"]["run_options"]))
    assert config.s3.cache == f"{folder}/cache"
    assert "/gdrl/cache " in cluster["metadata"]["folders"]


def test_appended_to_a_recipe_it_changes_the_scale_alone(
    root: Path, config: RunConfig, tmp_path: Path
) -> None:
    recipes = _recipes(root)
    assert recipes
    for recipe in recipes:
        joined = tmp_path / recipe.name
        joined.write_text(recipe.read_text() + (root / "cluster/scale.toml").read_text())
        alone, together = settings.load(recipe), settings.load(joined)
        assert together.recipe == alone.recipe
        assert together.scale == config.scale


def test_trainers_fit_their_pool_one_a_node(config: RunConfig, pools: Pools) -> None:
    pool = pools["trainer"]
    for scale in _train_scales(config).values():
        assert scale.use_gpu
        assert scale.resources_per_worker == {"trainer_slot": 1}
        assert scale.num_workers <= pool["max_workers"]
        assert scale.threads_per_worker <= pool["resources"]["CPU"]


def test_replicas_fit_their_pool_and_fill_their_node(config: RunConfig, pools: Pools) -> None:
    scale, pool = config.scale.mllm, pools["mllm"]
    assert scale.resources_per_replica == {"mllm_slot": 1}
    assert scale.gpus_per_replica == pool["resources"]["GPU"]
    assert scale.threads_per_replica == pool["resources"]["CPU"]
    assert scale.num_replicas <= pool["max_workers"]


def test_the_stream_can_keep_the_whole_pool_busy(config: RunConfig, pools: Pools) -> None:
    wanted = 2 * config.scale.mllm.batch_size * pools["mllm"]["max_workers"]
    assert config.scale.stream.max_in_flight >= wanted


def test_ray_data_finds_a_cpu_that_nobody_else_takes(config: RunConfig, pools: Pools) -> None:
    assert pools["cpu"]["min_workers"] * pools["cpu"]["resources"]["CPU"] >= 1
    for scale in _train_scales(config).values():
        assert "cpu_slot" not in scale.resources_per_worker
        assert "trainer_slot" in scale.resources_per_worker  # keeps workers off the CPU nodes
