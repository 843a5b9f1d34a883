"""What an infallible MLLM would say of the squares in ``dataset``."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gdrl.data.table import load_images

ATTRIBUTES = ("red", "left")


def write_scores(folder: Path, dataset: Path, shift: int = 0) -> None:
    images = load_images(dataset, "train")
    ids = np.repeat(images.ids + shift, len(ATTRIBUTES))
    levels = 5.0 * np.stack([images.factors[name] for name in ATTRIBUTES], axis=1).ravel()
    asked = list(ATTRIBUTES) * len(images)
    table = pa.table({"id": ids, "attribute": asked, "expectation": levels})
    pq.write_table(table, folder / "scores.parquet")
