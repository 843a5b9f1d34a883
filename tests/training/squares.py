"""What earlier stages would say of the squares in ``dataset``, their MLLM infallible."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gdrl.data.table import load_images
from tests.training.joint_recipes import LATENT_DIM

ATTRIBUTES = ("red", "left")


def write_scores(folder: Path, dataset: Path, shift: int = 0) -> None:
    images = load_images(dataset, "train")
    ids = np.repeat(images.ids + shift, len(ATTRIBUTES))
    levels = 5.0 * np.stack([images.factors[name] for name in ATTRIBUTES], axis=1).ravel()
    asked = list(ATTRIBUTES) * len(images)
    table = pa.table({"id": ids, "attribute": asked, "expectation": levels})
    pq.write_table(table, folder / "scores.parquet")


def write_names(folder: Path, matched: dict[str, tuple[int, int]]) -> None:
    rows = [
        {"index": index, "attribute": None, "strength": 0.1, "sign": 1}
        for index in range(LATENT_DIM)
    ]
    for attribute, (index, sign) in matched.items():
        rows[index] |= {"attribute": attribute, "sign": sign}
    (folder / "names.json").write_text(json.dumps({"latents": rows}))
