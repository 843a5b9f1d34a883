"""Features of a data set's images, as a pre-trained model leaves them to others: parquet."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64
from numpy import ndarray

FEATURES = "features.parquet"


def write_features(table: pa.Table, folder: Path) -> None:
    """Columns ``id`` and ``features``, a fixed-size list of float32."""
    pq.write_table(table, folder / FEATURES)


def read_features(
    folder: Path,
) -> tuple[Int64[ndarray, " image"], Float32[ndarray, "image feature"]]:
    """Ids and features."""
    table = pq.read_table(folder / FEATURES)
    column = table.column("features").combine_chunks()
    width = column.type.list_size
    return table.column("id").to_numpy(), column.flatten().to_numpy().reshape(-1, width)
