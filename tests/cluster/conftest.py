from pathlib import Path
from typing import Any

import pytest
import yaml

from gdrl.distributed import session

# Ray reads its environment once, at import, and these tests are the first of a process to import
# it: a private cluster that later tests start must still keep to the loopback interface.
session._prepare_environment(private=True)

ROOT = Path(__file__).parents[2]
CLUSTERS = ("ray_cluster.yaml", "cluster/gcp.yaml")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session", params=CLUSTERS)
def cluster_file(request: pytest.FixtureRequest) -> Path:
    return ROOT / str(request.param)


@pytest.fixture
def cluster(cluster_file: Path) -> dict[str, Any]:
    return yaml.safe_load(cluster_file.read_text())


@pytest.fixture
def pools(cluster: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return cluster["available_node_types"]
