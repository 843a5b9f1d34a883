"""What a recipe can name as its source besides ``faces`` and a folder of images."""

import io
import json
import pickle
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gdrl.config import WORLDS, DatasetRecipe, Recipe
from gdrl.data import faces, parquet_images, source
from gdrl.data.correlation import Correlation, population_association, sample
from gdrl.data.grid_world import GRID_WORLDS
from gdrl.data.prepare import prepare
from gdrl.data.source import Found, one_by_one
from gdrl.data.table import load_images, read_description, stream_images
from gdrl.errors import DataError


def encoded(shade: int, width: int = 40, height: int = 40) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (shade, shade, shade)).save(buffer, format="PNG")
    return buffer.getvalue()


# --- grids of factors ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", GRID_WORLDS)
def test_a_grid_world_makes_the_round_trip(name: str, tmp_path: Path) -> None:
    world = GRID_WORLDS[name]
    metrics = prepare(DatasetRecipe(source=name, num_images=20, seed=3), tmp_path)
    assert metrics == {"num_images": 20, "num_test": 3, "num_quarantined": 0}
    images = load_images(tmp_path)
    factors = sample(world.grid, 20, 3)
    assert tuple(images.factors) == world.grid.names == read_description(tmp_path).attributes
    found = np.stack(list(images.factors.values()), axis=1)
    np.testing.assert_allclose(found, world.grid.scaled(factors), atol=1e-7)
    assert np.array_equal(images.pixels, world.render(factors))


def test_the_description_carries_the_correlation_and_its_truth(tmp_path: Path) -> None:
    pairs = (("scale", "orientation"), ("shape", "wall hue"))
    recipe = DatasetRecipe.model_validate(
        {
            "source": "shapes3d_like",
            "num_images": 8,
            "correlation": {"pairs": pairs, "sigma": 0.2},
        }
    )
    prepare(recipe, tmp_path)
    description = read_description(tmp_path)
    assert description.correlation is not None
    assert (description.correlation.pairs, description.correlation.sigma) == (pairs, 0.2)
    assert description.truth is not None
    assert description.truth.interventional is None
    assert description.truth.prevalence == pytest.approx([0.5] * 6)
    grid = GRID_WORLDS["shapes3d_like"].grid
    truth = population_association(grid, Correlation(pairs, 0.2))
    np.testing.assert_array_equal(description.truth.adjacency, truth)


def test_the_same_recipe_gives_the_same_files(tmp_path: Path) -> None:
    recipe = DatasetRecipe(source="shapes3d_like", num_images=8)
    for name in ("once", "twice"):
        prepare(recipe, tmp_path / name)
    for name in ("images-00000.parquet", "dataset.json"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes()


def test_unknown_factors_and_styles_are_refused(tmp_path: Path) -> None:
    base = {"source": "dsprites_like", "num_images": 4}
    for settings, complaint in (
        ({"correlation": {"pairs": [["shape", "colour"]]}}, "no factor 'colour'"),
        ({"style": "toon"}, "dsprites_like has no style 'toon'"),
    ):
        with pytest.raises(DataError, match=complaint):
            prepare(DatasetRecipe.model_validate(base | settings), tmp_path)


# --- the recipe ----------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["faces", "dsprites_like", "shapes3d_like", "celeba:photos"])
def test_sources_with_names_of_their_own_need_no_attributes(source: str) -> None:
    assert Recipe(dataset=DatasetRecipe(source=source)).attributes == ()


def test_a_folder_needs_attributes_and_takes_no_correlation() -> None:
    with pytest.raises(ValueError, match=r"recipe\.attributes is empty"):
        Recipe(dataset=DatasetRecipe(source="photos"))
    with pytest.raises(ValueError, match="faces is no grid of factors"):
        DatasetRecipe.model_validate({"correlation": {"pairs": [["hat", "beard"]]}})


def test_a_recipe_without_correlation_keeps_its_fingerprint() -> None:
    """Finished data sets, made before the setting was there, are still up to date."""
    plain = DatasetRecipe().model_dump(mode="json")
    assert list(plain) == [
        "source", "style", "num_images", "image_size", "min_side", "test_fraction", "seed"
    ]  # fmt: skip
    correlated = DatasetRecipe.model_validate(
        {"source": "dsprites_like", "correlation": {"pairs": [["shape", "scale"]]}}
    )
    dumped = correlated.model_dump(mode="json")
    assert dumped["correlation"] == {"pairs": [["shape", "scale"]], "sigma": 0.1}
    assert DatasetRecipe.model_validate_json(json.dumps(dumped)) == correlated


def test_faces_description_keeps_its_bytes(tmp_path: Path) -> None:
    prepare(DatasetRecipe(num_images=8), tmp_path)
    assert list(json.loads((tmp_path / "dataset.json").read_text())) == [
        "source", "kind", "style", "num_images", "num_quarantined", "image_size", "attributes",
        "truth", "attribution", "seed",
    ]  # fmt: skip


# --- parquet -------------------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder: bytes in one file, Hugging Face's structs in another, a third without a footer."""
    folder = tmp_path / "shards"
    (folder / "more").mkdir(parents=True)
    cells = [encoded(10 * number) for number in range(6)]
    cells[2], cells[4] = b"no image", None
    pq.write_table(pa.table({"label": range(6), "image": cells}), folder / "a.parquet")
    structs = [{"bytes": encoded(100 + number), "path": None} for number in range(3)]
    structs[1]["bytes"] = encoded(0, 40, 8)
    pq.write_table(pa.table({"image": structs}), folder / "more" / "b.parquet")
    (folder / "z.parquet").write_bytes(b"PAR1 and then nothing")
    return folder


def test_parquet_is_read_and_bad_rows_are_set_aside_with_a_reason(
    shards: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    metrics = prepare(DatasetRecipe(source=str(shards), test_fraction=0.3), out)
    assert metrics == {"num_images": 6, "num_test": 2, "num_quarantined": 4}
    paths = pq.read_table(out / "images-00000.parquet").column("path").to_pylist()
    assert paths == [
        "a.parquet#0", "a.parquet#1", "a.parquet#3", "a.parquet#5",
        "more/b.parquet#0", "more/b.parquet#2",
    ]  # fmt: skip
    assert load_images(out).pixels[:, 5, 5, 0].tolist() == [0, 10, 30, 50, 100, 102]
    aside = pq.read_table(out / "quarantine.parquet").to_pylist()
    reasons = {item["path"]: item["reason"] for item in aside}
    assert reasons["a.parquet#2"] == ("damaged: UnidentifiedImageError: cannot identify image file")
    assert reasons["a.parquet#4"] == "empty: no image in this row"
    assert reasons["more/b.parquet#1"] == "too small: 40 x 8, shorter side below 32"
    assert reasons["z.parquet"].startswith("damaged: ArrowInvalid")
    assert str(tmp_path) not in reasons["z.parquet"]


def test_one_parquet_file_is_a_source_and_gives_what_its_images_would(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    shades = range(0, 200, 20)
    for shade in shades:
        (folder / f"{shade:03d}.png").write_bytes(encoded(shade, 50, 40))
    pq.write_table(
        pa.table({"image": [encoded(shade, 50, 40) for shade in shades]}), tmp_path / "one.parquet"
    )
    for place in (folder, tmp_path / "one.parquet"):
        recipe = DatasetRecipe(source=str(place), num_images=7, seed=5)
        assert prepare(recipe, tmp_path / f"out-{place.name}")["num_images"] == 7
    loose, packed = (load_images(tmp_path / f"out-{n}") for n in ("photos", "one.parquet"))
    assert np.array_equal(loose.pixels, packed.pixels)


def test_damaged_pages_cost_the_rows_behind_them_and_no_more(tmp_path: Path) -> None:
    file = tmp_path / "pages.parquet"
    noise = np.random.default_rng(0).integers(0, 256, (300, 40, 40, 3), dtype=np.uint8)
    cells = []
    for pixels in noise:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, format="PNG")
        cells.append(buffer.getvalue())
    options = {"use_dictionary": False, "data_page_size": 20_000, "write_page_checksum": True}
    pq.write_table(pa.table({"image": cells}), file, row_group_size=100, **options)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    file.write_bytes(bytes(data))
    metrics = prepare(DatasetRecipe(source=str(file)), tmp_path / "out")
    assert metrics["num_images"] + metrics["num_quarantined"] == 300
    paths = pq.read_table(tmp_path / "out" / "images-00000.parquet").column("path").to_pylist()
    rows = {int(path.partition("#")[2]) for path in paths}
    assert rows >= {*range(100), *range(200, 300)}, "the row groups before and after are whole"
    assert len(rows) < 300


def test_a_folder_with_loose_images_stays_a_folder_of_images(shards: Path, tmp_path: Path) -> None:
    for number in range(4):
        (shards / f"{number}.png").write_bytes(encoded(number))
    assert prepare(DatasetRecipe(source=str(shards)), tmp_path / "out")["num_images"] == 4


def test_a_table_without_images_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"], "image": [3]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet has no column 'image'.*text \(string\)"):
        prepare(DatasetRecipe(source=str(tmp_path / "a.parquet")), tmp_path / "out")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="holds no row of images in 1 parquet file"):
        prepare(DatasetRecipe(source=str(tmp_path / "a.parquet")), tmp_path / "out")


# --- by several processes, batch by batch --------------------------------------------------------


def backwards(read: Callable[[Any], Iterator[Found]], chunks: Sequence[Any]) -> Iterator[Found]:
    """The last chunk first, each on its own copy of everything: what other machines may do."""
    found = [list(pickle.loads(pickle.dumps(read))(chunk)) for chunk in reversed(chunks)]
    return chain.from_iterable(reversed(found))


@pytest.mark.parametrize("kind", ["faces", "dsprites_like", "folder", "parquet"])
def test_where_and_when_chunks_are_read_changes_no_byte(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "CHUNK", 16)
    monkeypatch.setattr(faces, "CHUNK", 16)
    monkeypatch.setattr(parquet_images, "CHUNK", 16)
    photos = tmp_path / "photos"
    photos.mkdir()
    cells = [encoded(3 * number) for number in range(70)]
    cells[33] = b"no image"
    for number, cell in enumerate(cells):
        (photos / f"{number:02d}.png").write_bytes(cell)
    pq.write_table(pa.table({"image": cells}), tmp_path / "a.parquet", row_group_size=50)
    name = {"folder": str(photos), "parquet": str(tmp_path / "a.parquet")}.get(kind, kind)
    recipe = DatasetRecipe(source=name, num_images=60)
    for out, order in (("here", one_by_one), ("there", backwards)):
        prepare(recipe, tmp_path / out, in_order=order)
    here, there = (
        {file.name: file.read_bytes() for file in (tmp_path / out).iterdir()}
        for out in ("here", "there")
    )
    assert here == there
    assert len(here) == (2 if kind in WORLDS else 3)


def test_a_data_set_is_streamed_as_it_is_loaded(tmp_path: Path) -> None:
    prepare(DatasetRecipe(source="dsprites_like", num_images=50), tmp_path)
    for split in (None, "test"):
        whole = load_images(tmp_path, split)
        batches = list(stream_images(tmp_path, 16, split))
        assert max(map(len, batches)) <= 16
        assert np.array_equal(np.concatenate([batch.ids for batch in batches]), whole.ids)
        pixels = np.concatenate([batch.pixels for batch in batches])
        assert np.array_equal(pixels, whole.pixels)
        scale = np.concatenate([batch.factors["scale"] for batch in batches])
        assert np.array_equal(scale, whole.factors["scale"])
