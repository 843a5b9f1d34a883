"""Training functions with known trouble; Ray Train workers import this module by its name.

Their data set is the path of a folder: there they write down what they do, and find their trouble.
"""

import json
import os
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist

from gdrl.errors import Diverged
from gdrl.training.job import TrainingJob


def descend(job: TrainingJob) -> None:
    """Gradient descent on |w|^2, a checkpoint every step; every step executed is written down."""
    weight, start = torch.full((1,), 8.0, requires_grad=True), 0
    if job.resume is not None:
        state = json.loads((job.resume / "state.json").read_text())
        start = state["step"]
        weight.data.fill_(state["weight"])
    for step in range(start + 1, job.recipe.steps + 1):
        (gradient,) = torch.autograd.grad((weight**2).sum(), weight)
        dist.all_reduce(gradient)
        weight.data -= 0.25 * gradient / job.world_size
        _write_down(job, step)
        _trouble(job, step)
        job.report(step, {"loss": weight.item() ** 2, "world_size": job.world_size}, None)
        job.report(step, {"loss": weight.item() ** 2}, _checkpoint(job, step, weight.item()))


def fail(job: TrainingJob) -> None:
    raise ValueError(f"the images are {job.recipe.batch_size} pixels too small")


def diverge(job: TrainingJob) -> None:
    job.report(1, {"loss": float("nan")}, None)


def overflow(job: TrainingJob) -> None:
    """A checkpoint at step 1; then all workers diverge."""
    _write_down(job, 1)
    job.report(1, {"loss": 1.0}, _checkpoint(job, 1, 8.0))
    raise Diverged("step 1: the loss is not finite")


def _notes(job: TrainingJob) -> Path:
    return Path((job.inputs["dataset"] / "content").read_text())


def _write_down(job: TrainingJob, step: int) -> None:
    if job.rank == 0:
        with (_notes(job) / "steps").open("a") as file:
            file.write(f"{step} ")


def _trouble(job: TrainingJob, step: int) -> None:
    """At step 3, what the folder's ``trouble`` asks for, once."""
    trouble = _notes(job) / "trouble"
    if step != 3 or job.rank != job.world_size - 1 or not trouble.exists():
        return
    time.sleep(2)  # the controller commits a reported checkpoint at its next poll
    kind = trouble.read_text()
    trouble.unlink()
    if kind == "raise":
        raise RuntimeError("out of luck")
    if kind == "exit":
        os._exit(1)
    time.sleep(600)  # until the whole run is killed


def _checkpoint(job: TrainingJob, step: int, weight: float) -> Path:
    folder = Path(tempfile.mkdtemp())
    if job.rank == 0:
        (folder / "state.json").write_text(json.dumps({"step": step, "weight": weight}))
        (folder / "published").mkdir()
        (folder / "published/weight.json").write_text(json.dumps(weight))
    return folder
