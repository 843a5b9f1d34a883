"""Features of a data set's images, as a pre-trained model leaves them to others: parquet."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64
from numpy import ndarray

from gdrl.errors import ConfigError

FEATURES = "features.parquet"


def check_pretrained(path: Path) -> None:
    """Raise ConfigError unless a transformers model and its image processor lie there."""
    for name in ("config.json", "preprocessor_config.json"):
        if not (path / name).is_file():
            raise ConfigError(
                f"recipe.encoders.model: {path} holds no {name}; name a directory with model and "
                "image processor, as save_pretrained writes them"
            )


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
