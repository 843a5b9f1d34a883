"""Chunks read by Ray Data come back whole, in order, whatever happens to a worker."""

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gdrl.config import DatasetRecipe
from gdrl.data import source
from gdrl.data.prepare import prepare
from gdrl.data.source import Found, one_by_one
from gdrl.distributed.reading import FEW, in_order
from gdrl.errors import DataError

NUM_CHUNKS = 6


def read(chunk: int) -> Iterator[Found]:
    """Three images; the first chunks take longest."""
    time.sleep(0.1 * (NUM_CHUNKS - chunk))
    yield Found(f"{chunk}-a", b"first")
    yield Found(f"{chunk}-b", reason="damaged")
    yield Found(None, b"\xff\x00")


def read_large(chunk: int) -> Iterator[Found]:
    """More than one block of the object store can take at a time."""
    for number in range(200):
        yield Found(f"{chunk}-{number}", bytes(100_000))


def read_or_die(scratch: Path, chunk: int) -> Iterator[Found]:
    """Kill the worker process in the middle of chunk 3, the first time."""
    yield Found(f"{chunk}-a", b"first")
    marker = scratch / "died"
    if chunk == 3 and not marker.exists():
        marker.touch()
        os._exit(1)
    yield Found(f"{chunk}-b", b"second")


def refuse(chunk: int) -> Iterator[Found]:
    if chunk == 4:
        raise DataError("the folder is not on this node") from FileNotFoundError()
    yield Found(str(chunk))


def stumble(_: int) -> Iterator[Found]:
    yield Found(str(1 // 0))


@pytest.mark.usefixtures("cluster")
def test_order_and_images_are_those_of_one_process() -> None:
    chunks = range(NUM_CHUNKS)
    assert list(in_order(read, chunks)) == list(one_by_one(read, chunks))


@pytest.mark.usefixtures("cluster")
def test_a_chunk_larger_than_a_block_comes_whole() -> None:
    names = [found.path for found in in_order(read_large, range(5))]
    assert names == [f"{chunk}-{number}" for chunk in range(5) for number in range(200)]


@pytest.mark.usefixtures("cluster")
def test_a_chunk_whose_worker_dies_is_read_again(tmp_path: Path) -> None:
    found = list(in_order(partial(read_or_die, tmp_path), range(NUM_CHUNKS)))
    assert (tmp_path / "died").exists()
    assert [item.path for item in found] == [f"{n}-{x}" for n in range(NUM_CHUNKS) for x in "ab"]


@pytest.mark.usefixtures("cluster")
def test_what_a_person_can_mend_comes_back_as_it_was_raised() -> None:
    with pytest.raises(DataError) as raised:
        list(in_order(refuse, range(NUM_CHUNKS)))
    assert type(raised.value) is DataError
    assert str(raised.value) == "the folder is not on this node"


@pytest.mark.usefixtures("cluster")
def test_a_defect_keeps_its_name() -> None:
    with pytest.raises(Exception, match="ZeroDivisionError"):
        list(in_order(stumble, range(NUM_CHUNKS)))


def test_a_few_chunks_need_no_cluster() -> None:
    pids = [found.path for found in in_order(whoami, range(FEW))]
    assert pids == [str(os.getpid())] * FEW


def whoami(_: int) -> Iterator[Found]:
    yield Found(str(os.getpid()))


@pytest.mark.usefixtures("cluster")
def test_a_data_set_is_the_same_by_any_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "CHUNK", 10)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(60):
        Image.fromarray(np.full((40, 50, 3), 4 * number, np.uint8)).save(photos / f"{number}.png")
    (photos / "7.png").write_bytes(b"no image")
    for out, order in (("here", one_by_one), ("ray", in_order)):
        metrics = prepare(DatasetRecipe(source=str(photos)), tmp_path / out, in_order=order)
        assert metrics == {"num_images": 59, "num_test": 9, "num_quarantined": 1}
    for file in (tmp_path / "here").iterdir():
        assert file.read_bytes() == (tmp_path / "ray" / file.name).read_bytes(), file.name
