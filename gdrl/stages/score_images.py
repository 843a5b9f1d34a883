"""``scores``: how strongly each attribute is present in each image, asked while training runs."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Int64
from numpy import ndarray

from gdrl.artifacts import Artifact, Inputs, Metrics, Storage, open_store
from gdrl.config import RunConfig, ScoresRecipe
from gdrl.data.table import read_description, stream_images, train_ids
from gdrl.distributed.answers import answer_folder
from gdrl.distributed.rows import SCHEMA
from gdrl.distributed.serve import Serving, serving
from gdrl.distributed.stream import score_stream
from gdrl.errors import DataError
from gdrl.stages.attributes import discover
from gdrl.stages.domain import SAMPLE, Domain, check_domain
from gdrl.stages.so_far import SoFar, rounds
from gdrl.tracking import Progress, say


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Ask about ``recipe.scores.num_images`` images of the training split, or until it is enough.

    Raises:
        DataError: most questions failed, or not one was answered; there are no training images;
            the MLLM proposed no attributes.
    """
    recipe, dataset = config.recipe, inputs["dataset"]
    ids = _chosen(train_ids(dataset), recipe.scores)
    with serving(recipe.mllm, config.scale.mllm) as mllm:
        if recipe.attributes == "discover":
            attributes = discover(config, inputs, ids, mllm, out.path)
        else:
            attributes = recipe.attributes or read_description(dataset).attributes
        sample = next(stream_images(dataset, SAMPLE, "train")).pixels
        domain = check_domain(recipe.mllm, sample, attributes)
        if domain.message:
            say(f"WARNING  score_images: {domain.message}")
        so_far = SoFar(attributes, len(ids), recipe.graph, open_store(out.training))
        _ask(config, inputs, ids, so_far, mllm, out.path / "scores.parquet")
    _check(so_far.counts, out.path / "scores.parquet")
    _describe(out.path, so_far, len(ids), mllm, domain)
    return {
        "num_questions": so_far.counts.total(),
        "num_answered": so_far.counts["ok"],
        "num_known": so_far.num_known,
    }


def _ask(
    config: RunConfig,
    inputs: Inputs,
    ids: Int64[ndarray, " images"],
    so_far: SoFar,
    mllm: Serving,
    file: Path,
) -> None:
    """Rows go into ``file`` as they come; ``so_far`` keeps what the graph needs."""
    stopping, storage = config.recipe.stopping, Storage.of(config)
    scale, dataset = config.scale.stream, inputs.sources["dataset"]
    with (
        Progress("score_images", total=len(ids), unit="images") as progress,
        pq.ParquetWriter(file, SCHEMA) as writer,
    ):
        for some in rounds(ids) if stopping else [ids]:
            for rows in score_stream(dataset, some, so_far.attributes, mllm, scale, storage):
                writer.write_table(rows)
                so_far.add(rows)
                progress.update(so_far.num_images)
            if stopping and so_far.is_enough():
                break


def _check(counts: Counter[str], file: Path) -> None:
    if counts["failed"] <= counts.total() / 2 and counts["ok"]:
        return
    rows = pq.read_table(file, columns=["status", "reason"], filters=[("status", "!=", "ok")])
    raise DataError(
        f"{counts['ok']} of {counts.total()} questions were answered (the first that was not: "
        f"{rows.column('reason')[0].as_py()}); check recipe.mllm, then run this again: what was "
        "answered is kept"
    )


def _describe(folder: Path, so_far: SoFar, num_wanted: int, mllm: Serving, domain: Domain) -> None:
    """``scores.json``: what was asked, what that saved, and what a reader must know of it."""
    description = {
        "model": mllm.model,
        "revision": mllm.revision,
        "num_images": so_far.num_images,
        "num_wanted": num_wanted,
        "num_saved": (num_wanted - so_far.num_images) * len(so_far.attributes),
        "num_known": so_far.num_known,
        "attributes": list(so_far.attributes),
        "counts": dict(so_far.counts),
        "answers": answer_folder(mllm.model, mllm.revision),
        "domain": asdict(domain),
    }
    (folder / "scores.json").write_text(json.dumps(description, indent=2))


def _chosen(ids: Int64[ndarray, " images"], recipe: ScoresRecipe) -> Int64[ndarray, " chosen"]:
    """In the order drawn: the first so many of them are a fair sample too."""
    return np.random.default_rng(recipe.seed).permutation(ids)[: recipe.num_images]
