from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdrl.config import ClusterScale
from gdrl.distributed.session import connect, disconnect


@pytest.fixture(scope="package")
def cluster() -> Iterator[None]:
    """A private cluster, shared by the tests of this folder."""
    connect(ClusterScale(num_cpus=4))
    yield
    disconnect()


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[[list[bytes]], Path]:
    """Write pictures as a dataset of two shards; their ids are their positions."""

    def write(images: list[bytes]) -> Path:
        folder = tmp_path / "images"
        folder.mkdir()
        table = pa.table(
            {"id": np.arange(len(images)), "image": images, "split": ["train"] * len(images)}
        )
        half = len(images) // 2
        pq.write_table(table.slice(0, half), folder / "images-00000.parquet")
        pq.write_table(table.slice(half), folder / "images-00001.parquet")
        return folder

    return write
