import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from seaweed import seaweed
from transformers_serve import endpoint

from fake_stages import STAGES
from gdrl.artifacts import LocalStore
from gdrl.config import ClusterScale, RunConfig
from gdrl.distributed.session import connect, disconnect
from gdrl.execution import execute

__all__ = ["endpoint", "seaweed"]

# What a shell starts in the background ignores SIGINT, and so do its children: the drivers that
# tests interrupt. Where the parent handles a signal, a child begins with the default.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Tests share the machine with Ray workers; two threads a process would cost a factor of ten.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """A private cluster, for the tests of a module."""
    connect(ClusterScale(num_cpus=4))
    yield
    disconnect()


@pytest.fixture
def repository() -> Path:
    return ROOT


@pytest.fixture
def recipes() -> Path:
    return ROOT / "jobs/recipes"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "runs")


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., RunConfig]:
    """A small run of the fake pipeline: ``configure(vae={"beta": 8.0}, name="other")``."""

    def build(
        name: str = "demo", inputs: dict[str, str] | None = None, **recipe: object
    ) -> RunConfig:
        sections = {"dataset": {"num_images": 3}, **recipe}
        return RunConfig.model_validate(
            {
                "name": name,
                "storage": str(tmp_path / "runs"),
                "inputs": inputs or {},
                "recipe": sections,
            }
        )

    return build


@pytest.fixture
def run_fakes(store: LocalStore) -> Callable[..., None]:
    """Execute the fake pipeline: ``run_fakes(config, artifact="vae", overwrite=True)``."""

    def run(config: RunConfig, **options: object) -> None:
        options.setdefault("stages", STAGES)
        execute(config, store, session=lambda _: nullcontext(), **options)

    return run
