"""What runs on each Ray Train worker: build the job, call its function, pass its reports on."""

import json
import math
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdrl.artifacts import Source
from gdrl.config import TrainRecipe, TrainScale
from gdrl.distributed.reference import resolve
from gdrl.errors import Diverged
from gdrl.training.job import Report, TrainingJob

DIGEST_FILE = "digest.json"
"""Beside the weights: which recipe and inputs they belong to."""


@dataclass(frozen=True)
class Task:
    """What the driver tells every worker."""

    train_fn: str
    recipe: TrainRecipe
    scale: TrainScale
    inputs: Mapping[str, Source]
    digest: str
    relay: Any
    """Handle of the :class:`~gdrl.distributed.relay.Relay` actor."""


def work(config: dict[str, Any]) -> str | None:
    """Ray Train's entry on every worker; ``config`` is ``{"task": Task}``.

    Returns:
        Why the run diverged, if it did. All workers fail so at the same step, and would again: an
        error would be tried ``max_failures`` times more.
    """
    from ray import train

    task: Task = config["task"]
    context = train.get_context()
    rank = context.get_world_rank()
    with _resumed(task.digest) as resume:
        job = TrainingJob(
            recipe=task.recipe,
            scale=task.scale,
            inputs={name: source.open() for name, source in task.inputs.items()},
            rank=rank,
            world_size=context.get_world_size(),
            report=_reporter(task, rank),
            resume=resume,
            preempted=lambda: train.get_preemption_info() is not None,
        )
        try:
            resolve(task.train_fn)(job)
        except Diverged as error:
            return str(error)
    return None


@contextmanager
def _resumed(digest: str) -> Iterator[Path | None]:
    """The last checkpoint of this run as a local folder, or ``None`` at the first start.

    Raises:
        RuntimeError: the checkpoint belongs to another recipe or other inputs.
    """
    from ray import train

    checkpoint = train.get_checkpoint()
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        found = json.loads((Path(folder) / DIGEST_FILE).read_text())["digest"]
        if found != digest:
            raise RuntimeError(
                f"the checkpoint in {checkpoint.path} was made with another recipe or other "
                "inputs; delete that folder to train from the start"
            )
        yield Path(folder)


def _reporter(task: Task, rank: int) -> Report:
    """With a checkpoint, the report is a barrier over all workers; the upload is awaited by none.

    An upload that fails ends the run all the same: Ray Train raises it in the worker.
    """
    from ray import train

    def report(step: int, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        # Plain floats: Ray Train's snapshot refuses NumPy scalars and turns NaN into null.
        values = {key: float(value) for key, value in metrics.items()}
        broken = [key for key, value in values.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(f"{', '.join(broken)} is not finite at step {step}")
        if rank == 0:
            task.relay.put.remote(step, values)
        if checkpoint is None:
            return
        if rank == 0:
            (checkpoint / DIGEST_FILE).write_text(json.dumps({"digest": task.digest}))
        else:
            shutil.rmtree(checkpoint)
        train.report(
            {"step": step} | values,
            checkpoint=train.Checkpoint.from_directory(str(checkpoint)) if rank == 0 else None,
            checkpoint_upload_mode=train.CheckpointUploadMode.ASYNC,  # deletes the folder, too
        )

    return report
