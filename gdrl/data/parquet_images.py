"""Images out of parquet: a file, or a folder of such files with no loose image in it.

The column is ``image``: encoded images as binary, or a struct with a binary field ``bytes``, as
Hugging Face datasets writes it. An image is called ``file.parquet#row``. What cannot be used is set
aside under that name: an empty or damaged image alone; of a damaged row group what can no longer be
read; a file without a readable footer as a whole.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool

from gdrl.data.decoding import Encoded
from gdrl.data.folder import SUFFIXES
from gdrl.errors import DataError

COLUMN = "image"
_ROWS_AT_A_TIME = 64  # photographs of a few MB each: what is held is their number times that
_BROKEN = (pa.ArrowException, OSError)


def is_parquet(source: Path) -> bool:
    """Whether to read ``source`` as parquet: by its suffix, or by what lies in the folder.

    Loose images come first: a folder that holds some is a folder of images, as it always was.
    """
    if source.is_file():
        return source.suffix == ".parquet"
    return next(source.rglob("*.parquet"), None) is not None and not any(
        file.suffix.lower() in SUFFIXES for file in source.rglob("*")
    )


def read_parquet(source: Path, num_images: int, seed: int) -> tuple[int, Iterator[Encoded]]:
    """How many rows come, and the rows in order: at most ``num_images``, drawn by ``seed``.

    A file whose footer cannot be read counts as one row, set aside under the file's name. Memory
    holds 64 encoded images, and one bit a row.

    Raises:
        DataError: no row at all, or a file without a column of images.
    """
    files = [source] if source.is_file() else sorted(source.rglob("*.parquet"))
    names = [file.relative_to(source).as_posix() if file != source else file.name for file in files]
    counts = [_count_rows(file) for file in files]
    num_rows = sum(counts)
    if not num_rows:
        raise DataError(f"{source} holds no row of images in {len(files)} parquet file(s)")
    kept = np.zeros(num_rows, dtype=np.bool_)
    kept[np.random.default_rng(seed).permutation(num_rows)[:num_images]] = True
    parts = np.split(kept, np.cumsum(counts)[:-1])
    rows = chain.from_iterable(map(_rows, files, names, parts))
    return int(kept.sum()), rows


def _count_rows(file: Path) -> int:
    try:
        with pq.ParquetFile(file) as opened:
            _check_column(file, opened.schema_arrow)
            return int(opened.metadata.num_rows)
    except _BROKEN:
        return 1


def _check_column(file: Path, schema: Any) -> None:
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


def _rows(file: Path, name: str, kept: Bool[np.ndarray, " rows"]) -> Iterator[Encoded]:
    """The kept rows of one file, row group by row group."""
    try:
        opened = pq.ParquetFile(file)
    except _BROKEN as error:
        if kept.any():
            yield Encoded(name, reason=_damaged(error, file, name))
        return
    with opened:
        start = 0
        for group in range(opened.num_row_groups):
            stop = start + opened.metadata.row_group(group).num_rows
            yield from _group_rows(opened, group, start, file, name, kept[start:stop])
            start = stop


def _group_rows(
    opened: Any, group: int, start: int, file: Path, name: str, kept: Bool[np.ndarray, " rows"]
) -> Iterator[Encoded]:
    """The kept rows of one row group; where reading fails, the rest of them as set aside."""
    row = 0
    try:
        for batch in opened.iter_batches(_ROWS_AT_A_TIME, row_groups=[group], columns=[COLUMN]):
            for cell in batch.column(0):
                row += 1
                if kept[row - 1]:
                    yield _encoded(f"{name}#{start + row - 1}", cell.as_py())
    except _BROKEN as error:
        for lost in row + np.flatnonzero(kept[row:]):
            yield Encoded(f"{name}#{start + lost}", reason=_damaged(error, file, name))


def _damaged(error: Exception, file: Path, name: str) -> str:
    return f"damaged: {type(error).__name__}: {error}".replace(str(file), name)


def _encoded(path: str, cell: Any) -> Encoded:
    data = cell["bytes"] if isinstance(cell, dict) else cell
    return Encoded(path, data) if data else Encoded(path, reason="empty: no image in this row")
