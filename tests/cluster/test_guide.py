"""docs/cluster.md: every command of Ray's that it names exists, with the options that it names."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from ray.scripts.scripts import cli as ray_cli
from ray.serve.scripts import cli as serve_cli

from gdrl import settings
from gdrl.config import Prices

PROGRAMS = {"ray": ray_cli, "serve": serve_cli}


@pytest.fixture
def guide(root: Path) -> str:
    return (root / "docs/cluster.md").read_text()


@pytest.fixture
def commands(guide: str) -> list[list[str]]:
    blocks = "\n".join(re.findall(r"^```\n(.*?)^```", guide, flags=re.DOTALL | re.MULTILINE))
    inline = "\n".join(re.findall(r"`((?:ray|serve) [a-z][^`]*)`", guide.replace("\n", " ")))
    lines = [line for line in f"{blocks}\n{inline}".splitlines() if line.strip()]
    return [shlex.split(line, comments=True) for line in lines if "$(" not in line]


def test_rays_commands_and_options_exist(commands: list[list[str]]) -> None:
    checked = [words for words in commands if words and words[0] in PROGRAMS]
    assert len(checked) >= 12
    for words in checked:
        own = words[1 : words.index("--")] if "--" in words else words[1:]
        command: click.Command = PROGRAMS[words[0]]
        while isinstance(command, click.Group):
            assert own[0] in command.commands, words
            command = command.commands[own.pop(0)]
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in own if word.startswith("--")}
        assert given <= known, words


def test_the_files_that_it_names_exist(guide: str, root: Path) -> None:
    named = set(re.findall(r"(?<![/\w])(?:cluster|jobs|gdrl)/[\w./-]*\w|ray_cluster\.yaml", guide))
    named -= {"jobs/recipes/demo-cluster.toml"}  # the reader makes it
    named = {re.sub(r"Dockerfile$", "Dockerfile.trainer", name) for name in named}  # …$image
    assert {"ray_cluster.yaml", "cluster/serve_gpu.yaml", "cluster/scale.toml"} <= named
    assert [name for name in sorted(named) if not (root / name).exists()] == []


def test_settings_that_it_names_exist(guide: str) -> None:
    known = set(settings.known_keys())
    for key in re.findall(r"(?<!/)\b(?:recipe|scale)\.[a-z_.]+[a-z]", guide):
        assert key in known, key


def test_the_table_of_pools_is_that_of_the_cluster_file(guide: str, root: Path) -> None:
    pools = yaml.safe_load((root / "ray_cluster.yaml").read_text())["available_node_types"]
    row = r"^\| `(\w+)` \|.*?\| (\S+)[^|]* \| ([\d–]+) \|"
    rows = {found[0]: found for found in re.findall(row, guide, flags=re.MULTILINE)}
    assert set(rows) == set(pools)
    for name, (_, instance_type, bounds) in rows.items():
        pool = pools[name]
        assert instance_type == pool["node_config"]["InstanceType"]
        lower, upper = pool["min_workers"], pool["max_workers"]
        assert bounds == ("1" if name == "head" else f"{lower}–{upper}")


def test_the_environment_of_a_job_is_one_that_ray_accepts(root: Path) -> None:
    from ray.runtime_env import RuntimeEnv

    environment = yaml.safe_load((root / "cluster/runtime_env.yaml").read_text())
    assert set(environment) == {"excludes", "env_vars"}
    RuntimeEnv(**environment)
    needed = {"gdrl/", "jobs/", "cluster/"}
    assert not needed & set(environment["excludes"])


def test_the_costs_follow_from_the_model_that_it_states(guide: str) -> None:
    stated = re.search(
        r"\*s\* = ([\d.]+) and prices \*assumed\* at ([\d.]+) .*?, ([\d.]+) .*?, ([\d.]+) .*?"
        r"and ([\d.]+) ",
        guide,
    )
    assert stated
    seconds, mllm, trainer, head, cpu = map(float, stated.groups())
    assert Prices(mllm=mllm, trainer=trainer, head=head, cpu=cpu) == Prices()
    rows = re.findall(
        r"^\| ([\d ]+) \| (\d+) \| ([\d.]+) \| (\d+) \| ([\d.]+) \|", guide, re.MULTILINE
    )
    assert len(rows) >= 9
    for images, replicas, *claimed in rows:
        num_images, num_replicas = int(images.replace(" ", "")), int(replicas)
        hours = max(1, num_images * seconds / 3600 / num_replicas) + 0.2
        dollars = hours * (num_replicas * mllm + head + cpu) + 2 * trainer
        assert [f"{hours:.1f}", f"{dollars:.0f}", f"{1000 * dollars / num_images:.3f}"] == claimed


def test_it_says_what_was_not_tried(guide: str) -> None:
    assert "Nothing has run on a cloud" in guide
