"""The loop that every objective shares: step, log, save, resume, publish."""

import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor

from gdrl.errors import Diverged
from gdrl.tracking import MetricLog
from gdrl.training.batches import Part, parts_of, prefetched
from gdrl.training.engine import Engine
from gdrl.training.job import PUBLISHED, TrainingJob
from gdrl.training.schedule import learning_rate_at

LOG_EVERY_STEPS = 50
METRICS = "metrics.jsonl"

NUM_NAMED = 64
"""Ids of a batch that an error message holds."""

Publish = Callable[[dict[str, Tensor], Path], None]


def run(
    job: TrainingJob,
    engine: Engine,
    batch_at: Callable[[int, Part], Any],
    ids_at: Callable[[int], Int64[ndarray, " batch"]],
    publish: Publish,
    scores_at: Callable[[int], Mapping[str, float]] = lambda _: {},
) -> None:
    """Train to ``job.recipe.steps`` from wherever ``job.resume`` left off.

    Args:
        job: this worker's share; hears of losses every 50 steps and of each checkpoint, and says
            then whether a machine is about to go, which is worth a checkpoint.
        engine: holds the objective.
        batch_at: step and part to that part of the step's batch; asked in a thread, one part ahead.
        ids_at: step to the ids of its images, for whoever must look at them.
        publish: writes the artifact's files, given the objective's weights; rank 0, at the end.
        scores_at: steps done to what else to log of them; every rank asks.

    Raises:
        Diverged: the loss stopped being finite; the message names step, images and checkpoint.
    """
    recipe = job.recipe
    steps, parts = range(engine.steps_done, recipe.steps), parts_of(job)
    with (
        TemporaryDirectory(prefix="gdrl-train-") as scratch,
        closing(prefetched(batch_at, steps, parts)) as batches,
    ):
        log = MetricLog(Path(scratch) / METRICS)
        if job.resume is not None:
            shutil.copy(job.resume / METRICS, log.path)
        clock = _Clock(recipe.batch_size, log)
        saved, warned = engine.steps_done, False
        for step in steps:
            done = step + 1
            due = done % job.scale.checkpoint_every_steps == 0 or done == recipe.steps
            rate = learning_rate_at(step, recipe.steps, recipe.learning_rate, recipe.schedule)
            try:
                losses = engine.step(islice(batches, len(parts)), rate)
                if done % LOG_EVERY_STEPS == 0 or due:
                    already, warned = warned, job.preempted()
                    saving = due or (warned and not already)
                    metrics = {**losses, **clock.lap(done), **scores_at(done)}
                    log.write(done, **metrics)
                    checkpoint = _checkpoint(job, engine, log, publish) if saving else None
                    job.report(done, metrics, checkpoint)
                    saved = done if saving else saved
            except Diverged as error:
                told = _told(job.section, step, error, ids_at(step), saved)
                raise Diverged(told) from error


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


def _checkpoint(job: TrainingJob, engine: Engine, log: MetricLog, publish: Publish) -> Path:
    """A folder that rank 0 fills; every rank must come here."""
    state = engine.state()
    folder = Path(mkdtemp(prefix="gdrl-checkpoint-"))
    if job.rank == 0:
        state.save(folder)
        shutil.copy(log.path, folder / METRICS)
        if state.step == job.recipe.steps:
            (folder / PUBLISHED).mkdir()
            shutil.copy(log.path, folder / PUBLISHED / METRICS)
            publish(state.weights, folder / PUBLISHED)
    return folder


def _told(
    section: str, step: int, error: Diverged, ids: Int64[ndarray, " batch"], saved: int
) -> str:
    named = ", ".join(map(str, ids[:NUM_NAMED])) + (", …" if len(ids) > NUM_NAMED else "")
    return (
        f"step {step}: {error}, on images {named}; last good checkpoint: "
        f"{f'step {saved}' if saved else 'none'}; lower recipe.{section}.learning_rate or "
        f"recipe.{section}.gradient_clipping, or set recipe.{section}.precision = fp32"
    )
