"""One cell of a study: train a pair of encoders in this process, keep scores and their curve."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdrl.config import ContrastiveRecipe, TrainScale
from gdrl.training.contrastive import train
from gdrl.training.job import TrainingJob


def measure(recipe: ContrastiveRecipe, scale: TrainScale) -> dict[str, Any]:
    """Plain JSON: final ``scores``, the ``curve`` of them over steps, ``seconds`` by two clocks.

    Raises:
        TrainingFailed: the loss is not finite.
    """
    curve: list[dict[str, float]] = []

    def report(step: int, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        if checkpoint is not None:
            shutil.rmtree(checkpoint)
        if "r2" in metrics:
            kept = {name: metrics[name] for name in metrics.keys() - {"images_per_second"}}
            curve.append({"step": step, **kept})

    # The state of a training that minutes repeat is not worth keeping.
    alone = scale.model_copy(update={"checkpoint_every_steps": recipe.steps})
    wall, cpu = time.perf_counter(), time.process_time()
    train(TrainingJob(recipe, alone, inputs={}, rank=0, world_size=1, report=report))
    return {
        "scores": {name: curve[-1][name] for name in curve[-1].keys() - {"step", "seconds"}},
        "curve": curve,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }
