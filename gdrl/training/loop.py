"""The loop that every objective shares: step, log, save, resume, publish."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from gdrl.errors import TrainingFailed
from gdrl.tracking import MetricLog
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob
from gdrl.training.schedule import learning_rate_at

LOG_EVERY_STEPS = 50
METRICS = "metrics.jsonl"
PUBLISHED = "published"


@runtime_checkable
class TrainRecipe(Protocol):
    """What the loop needs of a recipe."""

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        ...

    @property
    def batch_size(self) -> int:
        """Images of a global batch."""
        ...

    @property
    def learning_rate(self) -> float:
        """Peak of the schedule."""
        ...


def run(
    job: TrainingJob,
    recipe: TrainRecipe,
    engine: Engine,
    batch_at: Callable[[int], Any],
    publish: Callable[[dict[str, Tensor], Path], None],
) -> None:
    """Train to ``recipe.steps`` from wherever ``job.resume`` left off.

    Args:
        job: this worker's share; hears of losses every 50 steps and of each checkpoint.
        recipe: steps, batch size and peak learning rate.
        engine: holds the objective.
        batch_at: step to this rank's share of that step's batch.
        publish: writes the artifact's files, given the objective's weights; rank 0, at the end.

    Raises:
        TrainingFailed: the loss stopped being finite; the message names the step.
    """
    with TemporaryDirectory(prefix="gdrl-train-") as scratch:
        log = MetricLog(Path(scratch) / METRICS)
        start = 0 if job.resume is None else _resume(job.resume, engine, log)
        clock = _Clock(recipe.batch_size, log)
        for step in range(start, recipe.steps):
            rate = learning_rate_at(step, recipe.steps, recipe.learning_rate)
            try:
                losses = engine.step(batch_at(step), rate)
            except TrainingFailed as error:
                raise TrainingFailed(
                    f"step {step}: {error}; lower the learning rate or use precision fp32"
                ) from error
            done = step + 1
            saving = done % job.scale.checkpoint_every_steps == 0 or done == recipe.steps
            if done % LOG_EVERY_STEPS == 0 or saving:
                metrics = {**losses, **clock.lap(done)}
                log.write(done, **metrics)
                if saving:
                    _checkpoint(job, recipe, engine, log, metrics, publish)
                else:
                    job.report(done, metrics, None)


class _Clock:
    """Images per second since the last lap, and seconds in all, over every attempt."""

    def __init__(self, batch_size: int, log: MetricLog) -> None:
        rows = list(log)
        self._batch_size = batch_size
        self._done = int(rows[-1]["step"]) if rows else 0
        self._seconds = rows[-1]["seconds"] if rows else 0.0
        self._since = time.perf_counter()

    def lap(self, done: int) -> dict[str, float]:
        elapsed, self._since = time.perf_counter() - self._since, time.perf_counter()
        images, self._done = (done - self._done) * self._batch_size, done
        self._seconds += elapsed
        return {
            "images_per_second": round(images / elapsed, 1),
            "seconds": round(self._seconds, 3),
        }


def _checkpoint(
    job: TrainingJob,
    recipe: TrainRecipe,
    engine: Engine,
    log: MetricLog,
    metrics: dict[str, float],
    publish: Callable[[dict[str, Tensor], Path], None],
) -> None:
    step = int(list(log)[-1]["step"])
    weights = engine.weights() if step == recipe.steps else None
    with TemporaryDirectory(prefix="gdrl-checkpoint-") as name:
        folder = Path(name)
        engine.save(folder, {"step": step})
        if job.rank == 0:
            shutil.copy(log.path, folder / METRICS)
            if weights is not None:
                (folder / PUBLISHED).mkdir()
                shutil.copy(log.path, folder / PUBLISHED / METRICS)
                publish(weights, folder / PUBLISHED)
        job.report(step, metrics, folder)


def _resume(folder: Path, engine: Engine, log: MetricLog) -> int:
    state = engine.load(folder)
    shutil.copy(folder / METRICS, log.path)
    return int(state["step"])
