import resource
import tempfile
from pathlib import Path

import numpy as np
import pytest

from gdrl.data.pictures import encode_png
from gdrl.data.table import (
    SHARD_ROWS,
    DatasetDescription,
    Row,
    load_images,
    load_pixels,
    write_description,
    write_images,
)
from gdrl.errors import DataError

NUM_IMAGES = SHARD_ROWS + 100
SIZE = 8
DECODED_GB = NUM_IMAGES * SIZE * SIZE * 3 / 1e9


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of noise; every fourth image is of the test split."""
    folder = tmp_path_factory.mktemp("dataset")
    pixels = np.random.default_rng(0).integers(0, 256, (NUM_IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    rows = (
        Row(png=encode_png(image), split="train" if number % 4 else "test")
        for number, image in enumerate(pixels)
    )
    write_images(folder, rows)
    write_description(
        folder,
        DatasetDescription(
            source="noise",
            kind="folder",
            style=None,
            num_images=NUM_IMAGES,
            num_quarantined=0,
            image_size=SIZE,
            attributes=(),
            truth=None,
            attribution="",
            seed=0,
        ),
    )
    return folder


@pytest.mark.parametrize("split", ["train", "test", None])
def test_images_larger_than_their_memory_are_the_same_from_a_file(dataset, split) -> None:
    held, mapped = (load_images(dataset, split, gb) for gb in (DECODED_GB, DECODED_GB / 10))
    assert held.pixels.base is None
    assert mapped.pixels.base is not None
    np.testing.assert_array_equal(held.pixels, mapped.pixels)
    np.testing.assert_array_equal(held.ids, mapped.ids)


def test_the_file_has_no_name_that_could_be_left_behind(dataset, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    table = load_images(dataset, max_gb=DECODED_GB / 10)
    assert not list(tmp_path.iterdir())
    assert len(table) == NUM_IMAGES


def test_no_room_for_the_file_says_where_and_what_to_set(dataset: Path) -> None:
    """A limit on the size of files stands for a full disk: the kernel refuses alike."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        told = r"take 0\.0 GB of /.*set TMPDIR to a larger disk, or raise image_memory_gb"
        with pytest.raises(DataError, match=told):
            load_images(dataset, max_gb=DECODED_GB / 10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_images_by_id_come_in_the_order_asked_for(dataset: Path) -> None:
    ids = np.array([SHARD_ROWS + 3, 5, 2, SHARD_ROWS - 1])
    np.testing.assert_array_equal(load_pixels(dataset, ids), load_images(dataset).pixels[ids])
    with pytest.raises(DataError, match=f"2 images are not in .*, the first id {NUM_IMAGES}"):
        load_pixels(dataset, np.array([1, NUM_IMAGES, NUM_IMAGES + 7]))
