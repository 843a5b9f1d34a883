"""``recipe.vae.seed`` 99 hangs in the middle, the first time; a second run resumes."""

import time
from pathlib import Path

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig

HANGS = 99


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    checkpoint = Path(out.training.uri) / "checkpoint"
    resumed = checkpoint.exists()
    (out.path / "model.txt").write_text("half a mod")
    if config.recipe.vae.seed == HANGS and not resumed:
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        print("in the middle", flush=True)
        time.sleep(300)
    (out.path / "model.txt").write_text("a model")
    (out.path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    return {"loss": 0.5, "resumed": int(resumed), "diverged": float("nan")}
