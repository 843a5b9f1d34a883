"""The Dockerfiles, read by a small parser: no engine builds them here."""

import ast
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IMAGES = ("cluster/Dockerfile.trainer", "cluster/Dockerfile.mllm")
IMPORT_NAMES = {"PIL": "pillow"}


class Instruction(NamedTuple):
    name: str
    value: str


def parse(dockerfile: Path) -> list[Instruction]:
    """Instructions in order; comments dropped, continued lines joined."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    parts = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [Instruction(name.upper(), re.sub(r"\s+", " ", value)) for name, value in parts]


@pytest.fixture(params=IMAGES)
def dockerfile(root: Path, request: pytest.FixtureRequest) -> Path:
    return root / str(request.param)


@pytest.fixture
def instructions(dockerfile: Path) -> list[Instruction]:
    return parse(dockerfile)


@pytest.fixture
def constraints(root: Path) -> dict[str, str]:
    lines = (root / "cluster/constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def _values(instructions: list[Instruction], name: str) -> list[str]:
    return [instruction.value for instruction in instructions if instruction.name == name]


def test_instructions_are_ones_that_docker_knows(instructions: list[Instruction]) -> None:
    known = {"FROM", "RUN", "COPY", "ARG", "ENV", "WORKDIR", "USER"}
    assert {instruction.name for instruction in instructions} <= known
    assert instructions[0].name == "FROM"


def test_the_base_is_pinned_and_the_same(root: Path) -> None:
    bases = {base for image in IMAGES for base in _values(parse(root / image), "FROM")}
    (base,) = bases
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", base)


def test_nothing_runs_as_root(instructions: list[Instruction]) -> None:
    assert _values(instructions, "USER")[-1] not in ("root", "0")
    last_user = max(n for n, each in enumerate(instructions) if each.name == "USER")
    assert "RUN" not in {each.name for each in instructions[last_user:]}
    assert all("sudo" not in run for run in _values(instructions, "RUN"))


def test_the_user_is_who_the_cluster_files_expect(
    instructions: list[Instruction], root: Path
) -> None:
    runs = " ".join(_values(instructions, "RUN"))
    assert "--uid 1000" in runs
    assert "HOME=/home/ray" in " ".join(_values(instructions, "ENV"))
    for file in ("ray_cluster.yaml", "cluster/gcp.yaml"):
        assert "--owner 1000 --group 1000" in (root / file).read_text()


def test_login_shells_find_what_is_installed(instructions: list[Instruction]) -> None:
    """A login shell resets PATH, so nothing may hide in an environment of its own."""
    assert all(
        "PATH=" not in env.replace("PYTHONPATH=", "") for env in _values(instructions, "ENV")
    )
    assert all("venv" not in run for run in _values(instructions, "RUN"))


def test_installs_are_pinned_and_leave_no_cache(instructions: list[Instruction]) -> None:
    for run in _values(instructions, "RUN"):
        for command in run.split("&&"):
            if "pip install" in command:
                assert "--no-cache-dir" in command
                assert "--constraint constraints.txt" in command or "--no-deps" in command
            if "apt-get install" in command:
                assert "--no-install-recommends" in command
                assert "rm -rf /var/lib/apt/lists/*" in run


def test_ray_can_copy_files_into_the_container(instructions: list[Instruction]) -> None:
    assert " rsync " in " ".join(_values(instructions, "RUN"))


def test_only_what_exists_is_copied_and_let_through(
    dockerfile: Path, instructions: list[Instruction], root: Path
) -> None:
    ignore = dockerfile.with_name(dockerfile.name + ".dockerignore").read_text().splitlines()
    assert ignore[1] == "*"
    copied = {source for copy in _values(instructions, "COPY") for source in copy.split()[:-1]}
    assert all((root / source).exists() for source in copied)
    assert {line[1:] for line in ignore if line.startswith("!")} == copied


def test_it_says_that_it_was_not_built(dockerfile: Path) -> None:
    assert "Not built so far" in dockerfile.read_text()


def test_the_constraints_satisfy_every_dependency(root: Path, constraints: dict[str, str]) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for text in project["dependencies"]:
        requirement = Requirement(text)
        version = constraints[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), text


def test_the_images_carry_rays_version(root: Path, constraints: dict[str, str]) -> None:
    for file in ("ray_cluster.yaml", "cluster/gcp.yaml", "docs/cluster.md", *IMAGES):
        versions = re.findall(
            r"gdrl-(?:trainer|mllm|\$image):([\d.]*\d)", (root / file).read_text()
        )
        assert versions, file
        assert set(versions) == {constraints["ray"]}, file


def test_the_mllm_image_has_all_that_a_replica_imports(root: Path) -> None:
    (install,) = [r for r in _values(parse(root / IMAGES[1]), "RUN") if "--constraint" in r]
    installed = {Requirement(word.strip('"')).name for word in install.split()[6:]}
    assert _imported_by_a_replica(root) <= installed


def _imported_by_a_replica(root: Path) -> set[str]:
    """Packages imported, at any depth of code, by what ``gdrl.distributed.replica`` leads to."""
    seen = {"gdrl"}  # what the package itself offers is imported when somebody asks for it
    packages: set[str] = set()
    todo = ["gdrl.distributed.replica", "gdrl.mllm.open"]
    while todo:
        module = todo.pop()
        if module in seen or (path := _source(root, module)) is None:
            continue
        seen.add(module)
        for name in _imports(path):
            if name.partition(".")[0] == "gdrl":
                todo += [name, name.rpartition(".")[0]]
            else:
                packages.add(name.partition(".")[0])
    packages -= set(sys.stdlib_module_names)
    return {IMPORT_NAMES.get(package, package) for package in packages}


def _source(root: Path, module: str) -> Path | None:
    path = root / module.replace(".", "/")
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.exists()), None)


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found
