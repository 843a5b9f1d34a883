"""An artifact of a few files, for tests of where artifacts lie.

``python -m small_artifact URI ENDPOINT CACHE ATTEMPT`` commits one, in a process of its own.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path

from gdrl.artifacts import Artifact, Manifest, Run, Storage, describe_files, open_store
from gdrl.config import S3Settings

WEIGHTS = random.Random(0).randbytes(9 * 2**20)
"""Enough for an upload in two parts."""


def fill(out: Artifact, text: str = "a model", attempt: str = "0001") -> Manifest:
    (out.path / "deep").mkdir()
    (out.path / "deep/model.txt").write_text(text)
    (out.path / "index.html").write_text("<p>")
    return describe(out, attempt)


def describe(out: Artifact, attempt: str = "0001") -> Manifest:
    """The manifest of whatever lies in the working folder."""
    return Manifest(
        artifact=out.name,
        stage="train_vae",
        fingerprint="f" * 64,
        recipe={"recipe.vae": {"beta": 4.0}},
        inputs={},
        files=describe_files(out.path),
        metrics={"mse": 0.25, "edges": 3, "nothing": None},
        versions={"gdrl": "0"},
        git_commit=None,
        attempt=attempt,
        started=1.0,
        seconds=2.0,
        created="2026-01-01T00:00:00+00:00",
    )


def finish(run: Run, text: str = "a model", attempt: str = "0001") -> Path:
    """Commit the artifact ``vae`` and open it."""
    out = run.begin("vae", "train_vae")
    run.commit(out, fill(out, text, attempt))
    return run.open("vae")


def finish_dataset(storage: Storage, fill: Callable[[Path], object]) -> Run:
    """The run ``demo`` with an artifact ``dataset`` of what ``fill`` writes into its folder."""
    run = Run(open_store(storage), "demo")
    out = run.begin("dataset", "prepare_data")
    fill(out.path)
    run.commit(out, describe(out).model_copy(update={"stage": "prepare_data"}))
    return run


def finish_large(run: Run, attempt: str = "0001") -> None:
    """Commit the artifact ``vae`` with weights."""
    out = run.begin("vae", "train_vae")
    (out.path / "weights").write_bytes(WEIGHTS)
    run.commit(out, fill(out, attempt=attempt))


if __name__ == "__main__":
    uri, endpoint, cache, number = sys.argv[1:]
    s3 = S3Settings(endpoint=endpoint, region="us-east-1", addressing="path", cache=cache)
    finish_large(Run(open_store(Storage(uri, s3)), "demo"), number)
