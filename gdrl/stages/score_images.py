"""``scores``: how strongly each attribute is present in each image, asked while training runs."""

import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pyarrow.parquet as pq

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.data.table import load_images, read_description
from gdrl.distributed.serve import serving
from gdrl.distributed.stream import score_stream
from gdrl.errors import DataError
from gdrl.stages.domain import check_domain
from gdrl.tracking import Progress, say


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Ask about ``recipe.scores.num_images`` images of the training split."""
    recipe, dataset = config.recipe, inputs["dataset"]
    attributes = recipe.attributes or read_description(dataset).attributes
    images = load_images(dataset, "train")
    ids = _chosen(images.ids, recipe.scores.num_images, recipe.scores.seed)
    with (
        serving(recipe.mllm, config.scale.mllm) as mllm,
        Progress("score_images", unit="images") as progress,
    ):
        table = score_stream(dataset, ids, attributes, mllm, config.scale.stream, progress.update)
    domain = check_domain(recipe.mllm, images.pixels_of(ids), attributes)
    if domain.message:
        say(f"WARNING  score_images: {domain.message}")
    pq.write_table(table, out.path / "scores.parquet")
    counts = Counter(table.column("status").to_pylist())
    if counts["ok"] == 0:
        raise DataError(
            f"none of {table.num_rows} questions was answered (the first: "
            f"{table.column('reason')[0].as_py()}); check recipe.mllm, then run this again"
        )
    description = {
        "model": mllm.model,
        "revision": mllm.revision,
        "num_images": len(ids),
        "attributes": list(attributes),
        "counts": dict(counts),
        "domain": asdict(domain),
    }
    (out.path / "scores.json").write_text(json.dumps(description, indent=2))
    return {"num_questions": table.num_rows, "num_answered": counts["ok"]}


def _chosen(ids: np.ndarray, num_images: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(ids)[:num_images])
