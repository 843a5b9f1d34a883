"""The ``scores`` artifact as an array: what the MLLM said of each image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float, Int64
from numpy import ndarray

MAX_LEVEL = 5
"""Questions are answered on levels 0 to 5 (GEM, section 3.2)."""


@dataclass(frozen=True)
class Scores:
    """Expected levels, scaled to [0, 1]; NaN where a question was not answered."""

    ids: Int64[ndarray, " images"]
    attributes: tuple[str, ...]
    levels: Float[ndarray, "images attributes"]


def read_scores(folder: Path) -> Scores:
    """Read ``scores.parquet``: rows in order of image id, columns as the attributes were asked."""
    table = pq.read_table(folder / "scores.parquet", columns=["id", "attribute", "expectation"])
    ids, row = np.unique(table.column("id").to_numpy(), return_inverse=True)
    asked = table.column("attribute").to_pylist()
    attributes = tuple(dict.fromkeys(asked))
    column = {name: position for position, name in enumerate(attributes)}
    levels = np.full((len(ids), len(attributes)), np.nan)
    levels[row, [column[name] for name in asked]] = (
        table.column("expectation").to_numpy(zero_copy_only=False).astype(float) / MAX_LEVEL
    )
    return Scores(ids, attributes, levels)
