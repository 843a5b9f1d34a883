"""From a recipe to a data set and back into memory."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gdrl.config import DatasetRecipe
from gdrl.data import faces, table
from gdrl.data.prepare import prepare, with_split
from gdrl.data.table import load_images, read_description
from gdrl.errors import DataError


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Nine images, one of them damaged."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(9):
        pixels = np.full((40, 40, 3), 20 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def test_the_world_makes_the_round_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SHARD_ROWS", 16)
    recipe = DatasetRecipe(num_images=40, test_fraction=0.2, seed=3)
    seen: list[tuple[int, int]] = []
    metrics = prepare(recipe, tmp_path, lambda done, total: seen.append((done, total)))
    assert metrics == {"num_images": 40, "num_test": 8, "num_quarantined": 0}
    assert seen == [(done, 40) for done in range(1, 41)]
    assert len(list(tmp_path.glob("images-*.parquet"))) == 3

    images = load_images(tmp_path)
    factors = faces.sample_factors(40, seed=3)
    assert images.ids.tolist() == list(range(40))
    assert images.ids.dtype == np.int64
    assert tuple(images.factors) == faces.ATTRIBUTES
    assert np.array_equal(np.stack(list(images.factors.values()), axis=1), factors)
    assert images.factors["hat"].dtype == np.float32
    assert np.array_equal(images.pixels[17], faces.render(factors[17], (3, 17)))

    train, test = load_images(tmp_path, "train"), load_images(tmp_path, "test")
    assert len(train) == 32
    assert len(test) == 8
    assert set(train.ids).isdisjoint(test.ids)
    assert set(test.split) == {"test"}
    assert np.array_equal(test.pixels, images.pixels[test.ids])


def test_the_description_carries_the_truth(tmp_path: Path) -> None:
    prepare(DatasetRecipe(num_images=8, style="personas"), tmp_path)
    description = read_description(tmp_path)
    assert (description.kind, description.style, description.num_images) == ("world", "personas", 8)
    assert description.attributes == faces.ATTRIBUTES
    assert "Draftbit" in description.attribution
    assert description.truth is not None
    assert np.array_equal(description.truth.adjacency, faces.population_association(faces.MODEL))


def test_the_same_recipe_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("once", "twice"):
        prepare(DatasetRecipe(num_images=8), tmp_path / name)
    for name in ("images-00000.parquet", "dataset.json"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_a_folder_makes_the_round_trip(tmp_path: Path, photos: Path) -> None:
    out = tmp_path / "out"
    metrics = prepare(DatasetRecipe(source=str(photos), test_fraction=0.25), out)
    assert metrics == {"num_images": 8, "num_test": 2, "num_quarantined": 1}
    images = load_images(out)
    assert images.factors == {}
    assert images.pixels[:, 0, 0, 0].tolist() == [20 * number for number in range(9) if number != 4]
    paths = pq.read_table(out / "images-00000.parquet").column("path").to_pylist()
    assert paths == [f"{number}.png" for number in range(9) if number != 4]
    (aside,) = pq.read_table(out / "quarantine.parquet").to_pylist()
    assert aside["path"] == "4.png"
    assert aside["reason"].startswith("damaged: ")
    description = read_description(out)
    assert description.kind == "folder"
    assert description.num_quarantined == 1
    assert description.truth is None
    assert description.attributes == ()


def test_a_folder_without_a_readable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no")
    with pytest.raises(DataError, match=rf"{tmp_path} holds no readable image.*bad\.png"):
        prepare(DatasetRecipe(source=str(tmp_path)), tmp_path / "out")


def test_one_image_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few"):
        prepare(DatasetRecipe(num_images=1), tmp_path)


def test_the_split_is_seeded_even_and_exact() -> None:
    def split(seed: int) -> list[int]:
        return [item for item, part in with_split(range(1_000), 0.15, seed) if part == "test"]

    assert split(0) == split(0) != split(1)
    assert len(split(0)) == 150
    assert np.diff(split(0)).max() <= 14


def test_a_missing_or_foreign_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run prepare_data first"):
        read_description(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"source": "faces"}))
    with pytest.raises(DataError, match="does not describe a data set"):
        load_images(tmp_path)
