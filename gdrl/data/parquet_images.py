"""Images out of parquet: one file, or the files of a place with no loose image in it.

The column is ``image``: encoded images as binary, or a struct with a binary field ``bytes``, as
Hugging Face datasets writes it. An image is called ``file.parquet#row``. What cannot be used is set
aside under that name: an empty or damaged image alone; of a damaged row group what can no longer be
read; a file without a readable footer as a whole.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Integer

from gdrl.data.decoding import Prepare, decode
from gdrl.data.loose_images import Place, is_image
from gdrl.data.source import CHUNK, Found, ImageSource, without_names
from gdrl.errors import DataError

COLUMN = "image"
MAX_PIECES = 8
"""Chunks of one row group, which cannot be entered in its middle: each reads over those before it,
at a tenth of what decoding costs."""
_ROWS_AT_A_TIME = 64  # photographs of a few MB each: what is held is their number times that
_BYTES_AT_A_TIME = 2**20  # else a column of a whole row group is held
_BROKEN = (pa.ArrowException, OSError)


@dataclass(frozen=True)
class Piece:
    """Rows of one row group of a file; ``group`` is None for a file without a readable footer."""

    file: str
    group: int | None
    start: int
    """Row of the file at which the row group starts."""
    rows: Integer[np.ndarray, " rows"]
    """Rows of the row group, ascending."""


def is_parquet(names: Sequence[str]) -> bool:
    """Whether a place with these names is read as parquet.

    Loose images come first: a folder that holds some is a folder of images.
    """
    return any(map(_is_parquet_file, names)) and not any(map(is_image, names))


def parquet_images(
    place: Place, names: Sequence[str], num_images: int, seed: int, prepare: Prepare
) -> ImageSource:
    """The rows of the parquet files among ``names``: at most ``num_images``, drawn by ``seed``.

    A file whose footer cannot be read counts as one row, set aside under the file's name. Reading a
    piece holds 64 encoded images.

    Raises:
        DataError: no row at all, or a file without a column of images.
    """
    groups = [
        (name, *group)
        for name in filter(_is_parquet_file, names)
        for group in _row_groups(place, name)
    ]
    counts = [num_rows for *_, num_rows in groups]
    if not sum(counts):
        raise DataError(f"{place} holds no row of images in {len(names)} parquet file(s)")
    kept = np.zeros(sum(counts), dtype=np.bool_)
    kept[np.random.default_rng(seed).permutation(len(kept))[:num_images]] = True
    parts = np.split(kept, np.cumsum(counts)[:-1])
    pieces = [
        Piece(name, group, start, rows)
        for (name, group, start, _), part in zip(groups, parts, strict=True)
        for rows in _pieces(np.flatnonzero(part))
    ]
    return without_names(partial(read_piece, place, prepare), pieces, int(kept.sum()))


def read_piece(place: Place, prepare: Prepare, piece: Piece) -> Iterator[Found]:
    """Read the rows of one piece; where reading fails, the rest of them as set aside."""
    at = 0
    try:
        for row, cell in _cells(place, piece):
            if at < len(piece.rows) and row == piece.rows[at]:
                yield _decoded(f"{piece.file}#{piece.start + row}", cell.as_py(), prepare)
                at += 1
    except _BROKEN as error:
        reason = f"damaged: {type(error).__name__}: {error}"
        for lost in piece.rows[at:]:
            place_in_file = "" if piece.group is None else f"#{piece.start + lost}"
            yield Found(piece.file + place_in_file, reason=reason)


def _pieces(rows: Integer[np.ndarray, " rows"]) -> list[Integer[np.ndarray, " piece"]]:
    num = min(MAX_PIECES, -(-len(rows) // CHUNK))
    return np.array_split(rows, num) if num else []


def _row_groups(place: Place, name: str) -> list[tuple[int | None, int, int]]:
    """(group, its first row, its number of rows) of each row group of a file."""
    try:
        with place.open(name) as file, pq.ParquetFile(file) as opened:
            _check_column(name, opened.schema_arrow)
            groups = range(opened.num_row_groups)
            counts = [opened.metadata.row_group(group).num_rows for group in groups]
    except _BROKEN:
        return [(None, 0, 1)]
    starts = np.cumsum([0, *counts]).tolist()
    return list(zip(groups, starts, counts, strict=False))


def _cells(place: Place, piece: Piece) -> Iterator[tuple[int, Any]]:
    """The cells of a row group up to the last wanted one, with their rows."""
    with (
        place.open(piece.file) as file,
        pq.ParquetFile(file, buffer_size=_BYTES_AT_A_TIME) as opened,
    ):
        row, groups = 0, [piece.group or 0]
        for batch in opened.iter_batches(_ROWS_AT_A_TIME, row_groups=groups, columns=[COLUMN]):
            for cell in batch.column(0):
                yield row, cell
                row += 1
            if row > piece.rows[-1]:
                return


def _check_column(file: str, schema: Any) -> None:
    if COLUMN in schema.names:
        kind = schema.field(COLUMN).type
        if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
            kind = kind.field("bytes").type
        if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            return
    raise DataError(
        f"{file} has no column {COLUMN!r} of encoded images (binary, or a struct with bytes); "
        f"its columns: {', '.join(f'{field.name} ({field.type})' for field in schema)}"
    )


def _is_parquet_file(name: str) -> bool:
    return PurePosixPath(name).suffix == ".parquet"


def _decoded(path: str, cell: Any, prepare: Prepare) -> Found:
    data = cell["bytes"] if isinstance(cell, dict) else cell
    if not data:
        return Found(path, reason="empty: no image in this row")
    return decode(path, lambda _: io.BytesIO(data), prepare)
