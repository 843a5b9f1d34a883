"""The ``scores`` artifact as an array: what the MLLM said of each image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64
from numpy import ndarray

MAX_LEVEL = 5
"""Questions are answered on levels 0 to 5 (GEM, section 3.2)."""

Reading: TypeAlias = Literal["expectation", "argmax"]
COLUMNS: dict[Reading, str] = {"expectation": "expectation", "argmax": "probabilities"}


@dataclass(frozen=True)
class Scores:
    """Levels, scaled to [0, 1]; NaN where a question was not answered."""

    ids: Int64[ndarray, " images"]
    attributes: tuple[str, ...]
    levels: Float[ndarray, "images attributes"]


def read_scores(folder: Path, reading: Reading = "expectation") -> Scores:
    """Read ``scores.parquet``: rows in order of image id, columns as the attributes were asked."""
    columns = ["id", "attribute", COLUMNS[reading]]
    table = pq.read_table(folder / "scores.parquet", columns=columns)
    ids, row = np.unique(table.column("id").to_numpy(), return_inverse=True)
    asked = table.column("attribute").to_pylist()
    attributes = tuple(dict.fromkeys(asked))
    column = {name: position for position, name in enumerate(attributes)}
    levels = np.full((len(ids), len(attributes)), np.nan)
    levels[row, [column[name] for name in asked]] = levels_of(table, reading)
    return Scores(ids, attributes, levels)


def levels_of(rows: pa.Table, reading: Reading) -> Float[ndarray, " rows"]:
    """The level of each row, scaled to [0, 1]: the expected one, or the (first) likeliest."""
    column = rows.column(COLUMNS[reading])
    if reading == "expectation":
        levels: Float[ndarray, " rows"] = column.to_numpy(zero_copy_only=False).astype(float)
        return levels / MAX_LEVEL
    answers = column.combine_chunks()
    answered = answers.is_valid().to_numpy(zero_copy_only=False)
    likeliest = np.full(len(answers), np.nan)
    probabilities = answers.flatten().to_numpy().reshape(-1, MAX_LEVEL + 1)
    likeliest[answered] = probabilities.argmax(axis=1)
    return likeliest / MAX_LEVEL
