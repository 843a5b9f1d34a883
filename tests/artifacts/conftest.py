from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from seaweed import Seaweed

from gdrl.artifacts import Run, Storage, Store, open_store
from gdrl.config import S3Settings


@pytest.fixture
def s3_storage(seaweed: Seaweed, tmp_path: Path) -> Storage:
    """A new bucket of SeaweedFS, with a cache that is still empty."""
    s3 = seaweed.s3.model_copy(update={"cache": str(tmp_path / "cache")})
    return Storage(f"s3://{seaweed.bucket()}/deep/runs", s3)


@pytest.fixture(params=["folder", "seaweed", "moto"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    """A folder, a bucket of a real server, and the root of a bucket that exists in memory."""
    if request.param == "folder":
        yield Storage(str(tmp_path / "runs"))
    elif request.param == "seaweed":
        yield request.getfixturevalue("s3_storage")
    else:
        with mock_aws():
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="memory")
            yield Storage("s3://memory", S3Settings(cache=str(tmp_path / "cache")))


@pytest.fixture
def any_store(storage: Storage) -> Store:
    return open_store(storage)


@pytest.fixture
def any_run(any_store: Store) -> Run:
    return Run(any_store, "demo")
