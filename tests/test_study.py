"""The study from its command, on real Ray, with rows of seconds."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from gdrl.artifacts import LocalStore
from gdrl.config import RunConfig
from gdrl.errors import ConfigError, StorageError, TrainingFailed
from gdrl.settings import load
from gdrl.study import cell_recipe, markdown, run_study

TINY = [
    "recipe.contrastive.steps=2",
    "recipe.contrastive.batch_size=16",
    "recipe.study.num_seeds=2",
]


def no_session(_: RunConfig) -> AbstractContextManager[None]:
    return nullcontext()


def study(repository: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    recipe = repository / "jobs/recipes/lpcm_study.toml"
    command = [sys.executable, repository / "jobs/lpcm_study.py", recipe, *TINY, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_rows_and_seeds_end_in_one_table_and_are_not_repeated(
    repository: Path, tmp_path: Path
) -> None:
    done = study(repository, tmp_path, "--rows", "sphere_vmf", "box_laplace")
    assert done.returncode == 0, done.stderr
    assert "0 of 4 cells are finished; 4 to go" in done.stdout
    folder = tmp_path / "runs/lpcm_study/study"
    cells = sorted(folder.glob("*-seed*.json"))
    assert [path.name.rpartition("-")[0] for path in cells] == [
        "box_laplace-seed0",
        "box_laplace-seed1",
        "sphere_vmf-seed0",
        "sphere_vmf-seed1",
    ]
    record = json.loads(cells[0].read_text())
    assert record["curve"][-1]["step"] == 2
    assert record["recipe"]["latents"]["space"] == "box"
    rows = {row["row"]: row for row in json.loads((folder / "table.json").read_text())}
    assert (rows["sphere_vmf"]["seeds"], rows["sphere_normal"]["seeds"]) == (2, 0)
    assert (folder / "table.md").read_text() in done.stdout
    written = [path.stat().st_mtime_ns for path in cells]
    again = study(repository, tmp_path, "--rows", "sphere_vmf", "box_laplace")
    assert "4 of 4 cells are finished; 0 to go" in again.stdout
    assert [path.stat().st_mtime_ns for path in cells] == written


def test_an_unknown_row_costs_nothing(repository: Path, tmp_path: Path) -> None:
    done = study(repository, tmp_path, "--rows", "sphere_wmf")
    assert done.returncode == 1
    assert "error: no row sphere_wmf; recipe.study.rows has sphere_vmf, " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows is empty"):
        run_study(RunConfig(storage=str(tmp_path)), no_session)


@pytest.fixture
def config(recipes: Path, tmp_path: Path) -> RunConfig:
    return load(recipes / "lpcm_study.toml", [*TINY, f"storage={tmp_path}"])


def test_two_jobs_may_measure_the_same_cell(
    config: RunConfig, store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.dumps({"scores": {}, "curve": [], "cpu_seconds": 1.0}).encode()

    def beaten(_: str, cells: Mapping[str, Any], __: object) -> Iterator[tuple[str, Any]]:
        for key in cells:
            store.create(key, record)  # by the other job
            yield key, {"scores": {}, "curve": [], "cpu_seconds": 2.0}

    def racing_delete(keys: Iterable[str]) -> None:
        for key in keys:
            LocalStore.delete(store, [key])
            store.create(key, b"by the other job")

    monkeypatch.setattr("gdrl.distributed.fanout.fan_out", beaten)
    monkeypatch.setattr("gdrl.study.open_store", lambda _: store)
    monkeypatch.setattr(store, "delete", racing_delete)
    table = run_study(config, no_session, ["sphere_vmf"])
    assert "| sphere_vmf | **–** | – | – |" in table
    (cell, _) = store.root.rglob("sphere_vmf-seed*.json")
    assert cell.read_bytes() == record


def test_what_failed_is_told_whatever_becomes_of_the_table(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Iterator[Any]:
        raise TrainingFailed("1 of 2 failed")

    def refuse(*_: object) -> str:
        raise StorageError("no room left")

    monkeypatch.setattr("gdrl.distributed.fanout.fan_out", fail)
    monkeypatch.setattr("gdrl.study._write_table", refuse)
    with pytest.raises(TrainingFailed, match="1 of 2 failed"):
        run_study(config, no_session, ["sphere_vmf"])


def test_matched_rows_compare_codes_as_the_latents_are_drawn(recipes: Path) -> None:
    config = load(recipes / "lpcm_study.toml")
    rows = {row.name: row for row in config.recipe.study.rows}
    for name in ("sphere_vmf", "box_laplace"):
        recipe = cell_recipe(config, rows[name], seed=3)
        assert recipe.encoder_space == recipe.latents.space
        assert recipe.temperature == recipe.latents.conditional_scale
        assert (recipe.seed, recipe.latents.seed) == (3, 3)
    assert {row.latents.dim for row in rows.values()} == {5}


def test_a_table_says_mean_deviation_and_what_is_missing() -> None:
    row = {
        "row": "sphere_vmf",
        "score": "r2",
        "paper": "99.5 ± 0.1",
        "steps": 100,
        "seeds": 2,
        "cpu_seconds": 12.4,
        "r2": (0.991, 0.002),
        "mcc": (0.6, None),
        "r2_private": None,
    }
    expected = "| sphere_vmf | **99.1 ± 0.2** | 60.0 | – | 99.5 ± 0.1 | 2 | 100 | 12 |"
    assert markdown([row]).splitlines()[-1] == expected
