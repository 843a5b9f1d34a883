"""A data set on disk: parquet shards of PNG squares, and ``dataset.json`` that describes them.

Columns: ``id`` int64 (0, 1, 2, … over the shards), ``image`` (PNG, RGB), ``split`` ("train" or
"test"), then ``path`` for images that were read and, where factors are known, ``factor:<name>``
float32 in [0, 1].
"""

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64, Shaped, UInt8
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from gdrl.data.pixels import room
from gdrl.errors import DataError

SHARD_ROWS = 2_048
"""Rows of a shard, and all that writing holds in memory: 8 to 30 MB of PNG at 64 pixels."""
FACTOR = "factor:"
Split = Literal["train", "test"]


class Truth(BaseModel):
    """What a world knows about its attributes; rows and columns as in ``attributes``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    adjacency: tuple[tuple[float, ...], ...]
    """P(j | i) - P(j | not i) in row i, column j; factors of several values as in
    ``gdrl.data.correlation.population_association``."""
    interventional: tuple[tuple[float, ...], ...] | None
    """P(j | do(i = 1)) - P(j | do(i = 0)); None where no causal model is declared."""
    prevalence: tuple[float, ...]
    """P(i), or the mean of a factor of several values, scaled to [0, 1]."""


class CorrelationDescription(BaseModel):
    """Correlation injected into a grid of factors; see ``gdrl.data.correlation``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: tuple[tuple[str, str], ...]
    sigma: float


class DatasetDescription(BaseModel):
    """``dataset.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    kind: Literal["world", "folder"]
    style: str | None
    num_images: int
    num_quarantined: int
    image_size: int
    attributes: tuple[str, ...]
    truth: Truth | None
    attribution: str
    seed: int
    correlation: CorrelationDescription | None = None
    """Of the worlds that are grids of factors; the others do not write it."""


@dataclass(frozen=True)
class Row:
    """One image on its way into a data set."""

    png: bytes
    split: Split
    path: str | None = None
    factors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageTable:
    """Decoded images, in the order of their ids."""

    ids: Int64[np.ndarray, " images"]
    pixels: UInt8[np.ndarray, "images size size 3"]
    factors: Mapping[str, Float32[np.ndarray, " images"]]
    """Ground truth by name; empty for folders."""
    split: Shaped[np.ndarray, " images"]
    """"train" or "test" for each image."""

    def __len__(self) -> int:
        return len(self.ids)


def write_images(out: Path, rows: Iterable[Row]) -> int:
    """Write ``images-00000.parquet``, … into ``out`` and return the number of rows.

    At most one shard is held in memory. All rows have a path or none has; the same for factors.
    """
    out.mkdir(parents=True, exist_ok=True)
    source, num_rows = iter(rows), 0
    for shard, chunk in enumerate(_chunks(source)):
        pq.write_table(_table(chunk, first_id=num_rows), out / f"images-{shard:05d}.parquet")
        num_rows += len(chunk)
        chunk.clear()  # before the next shard comes, else two are held
    return num_rows


def write_quarantine(out: Path, quarantined: Iterable[tuple[str, str]]) -> None:
    """Write ``quarantine.parquet``: (path, reason) of every file that was set aside."""
    paths, reasons = [], []
    for path, reason in quarantined:
        paths.append(path)
        reasons.append(reason)
    columns = {"path": pa.array(paths, pa.string()), "reason": pa.array(reasons, pa.string())}
    pq.write_table(pa.table(columns), out / "quarantine.parquet")


def write_description(out: Path, description: DatasetDescription) -> None:
    """Write ``dataset.json``."""
    (out / "dataset.json").write_text(
        description.model_dump_json(indent=2, exclude_unset=True) + "\n", encoding="utf-8"
    )


def read_description(dataset: Path) -> DatasetDescription:
    """Read ``dataset.json``.

    Raises:
        DataError: it is missing or does not hold what it should.
    """
    file = dataset / "dataset.json"
    try:
        return DatasetDescription.model_validate_json(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"{dataset} holds no dataset.json; run prepare_data first") from error
    except ValidationError as error:
        raise DataError(f"{file} does not describe a data set: {error}") from error


def load_images(
    dataset: Path, split: Split | None = None, max_gb: float = float("inf")
) -> ImageTable:
    """Read the images of one split, or all of them.

    Args:
        dataset: its folder.
        split: all, if not given.
        max_gb: what is larger, decoded, lies in a scratch file (:func:`gdrl.data.pixels.room`).

    Raises:
        DataError: no shards, no image in this split, an image that is not a square of the
            described size, or no room for the scratch file.
    """
    only = None if split is None else pc.field("split") == split
    table = _load(dataset, only, max_gb)
    if not len(table):
        raise DataError(
            f"{dataset} holds no {split or ''} images; change recipe.dataset.test_fraction"
        )
    return table


def load_pixels(dataset: Path, ids: Int64[np.ndarray, " n"]) -> UInt8[np.ndarray, "n size size 3"]:
    """The images with these ids, in their order; no other is decoded.

    Raises:
        DataError: as :func:`load_images` does, or an id that is not in this data set.
    """
    table = _load(dataset, pc.field("id").isin(pa.array(ids)))
    if (missing := np.setdiff1d(ids, table.ids)).size:
        raise DataError(f"{missing.size} images are not in {dataset}, the first id {missing[0]}")
    return table.pixels[np.searchsorted(table.ids, ids)]


def _load(dataset: Path, only: pc.Expression | None, max_gb: float = float("inf")) -> ImageTable:
    size, shards = read_description(dataset).image_size, _shards(dataset)
    columns = [name for name in pq.read_schema(shards[0]).names if name != "image"]
    tables = [pq.read_table(shard, columns=columns, filters=only) for shard in shards]
    pixels, row = room(sum(map(len, tables)), size, max_gb), 0
    for shard, table in zip(shards, tables, strict=True):  # the PNGs of one shard at a time
        chosen = pixels[row : row + len(table)]
        _decode(pq.read_table(shard, columns=["image"], filters=only), chosen, dataset)
        row += len(table)
    return _image_table(pa.concat_tables(tables), pixels)


def _decode(
    table: pa.Table, pixels: UInt8[np.ndarray, "images size size 3"], dataset: Path
) -> None:
    size = pixels.shape[1]
    for row, png in enumerate(table.column("image")):
        pixels[row] = _decoded(png.as_py(), size, dataset)


def _image_table(table: pa.Table, pixels: UInt8[np.ndarray, "images size size 3"]) -> ImageTable:
    return ImageTable(
        ids=table.column("id").to_numpy(),
        pixels=pixels,
        factors={
            name.removeprefix(FACTOR): table.column(name).to_numpy()
            for name in table.column_names
            if name.startswith(FACTOR)
        },
        split=np.asarray(table.column("split").to_pylist()),
    )


def train_ids(dataset: Path) -> Int64[np.ndarray, " images"]:
    """Ids of the training split, alone: the pictures of a million images would not fit.

    Raises:
        DataError: there is none.
    """
    only = pc.field("split") == "train"
    tables = [pq.read_table(shard, columns=["id"], filters=only) for shard in _shards(dataset)]
    ids: Int64[np.ndarray, " images"] = pa.concat_tables(tables).column("id").to_numpy()
    if not len(ids):
        raise DataError(f"{dataset} holds no train images; lower recipe.dataset.test_fraction")
    return ids


def stream_images(
    dataset: Path, batch_size: int, split: Split | None = None
) -> Iterator[ImageTable]:
    """Read the images in order, ``batch_size`` or fewer at a time; memory holds one such batch.

    For passes that need every image once; training draws at random.

    Raises:
        DataError: as :func:`load_images` does, except that a split may be empty.
    """
    size = read_description(dataset).image_size
    for shard in _shards(dataset):
        with pq.ParquetFile(shard) as opened:
            for batch in opened.iter_batches(batch_size):
                rows = pa.Table.from_batches([batch])
                if split is not None:
                    rows = rows.filter(pc.equal(rows.column("split"), split))
                if rows.num_rows:
                    pixels = np.empty((rows.num_rows, size, size, 3), dtype=np.uint8)
                    _decode(rows, pixels, dataset)
                    yield _image_table(rows, pixels)


def _shards(dataset: Path) -> list[Path]:
    if shards := sorted(dataset.glob("images-*.parquet")):
        return shards
    raise DataError(f"{dataset} holds no images-*.parquet; run prepare_data again")


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, SHARD_ROWS)):
        yield chunk


def _table(rows: list[Row], first_id: int) -> pa.Table:
    columns = {
        "id": pa.array(range(first_id, first_id + len(rows)), pa.int64()),
        "image": pa.array([row.png for row in rows], pa.binary()),
        "split": pa.array([row.split for row in rows], pa.string()),
    }
    if rows[0].path is not None:
        columns["path"] = pa.array([row.path for row in rows], pa.string())
    for name in rows[0].factors:
        columns[FACTOR + name] = pa.array([row.factors[name] for row in rows], pa.float32())
    return pa.table(columns)


def _decoded(png: bytes, size: int, dataset: Path) -> UInt8[np.ndarray, "size size 3"]:
    with Image.open(io.BytesIO(png)) as image:
        if image.size != (size, size) or image.mode != "RGB":
            raise DataError(
                f"{dataset}: an image is {image.size} {image.mode}, not {size} x {size} RGB"
            )
        return np.asarray(image)
