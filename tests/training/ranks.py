"""Ranks of a training run as processes of their own, without Ray; one may kill itself."""

import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

import torch.distributed

from gdrl.config import EncodersRecipe, TrainRecipe, TrainScale, UnmixingRecipe, VaeRecipe
from gdrl.training import components, encoders, vae
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob

RECIPE = VaeRecipe(latent_dim=6, steps=6, batch_size=8)
ENTRIES = {
    VaeRecipe: vae.train,
    EncodersRecipe: encoders.train,
    UnmixingRecipe: components.train,
}
EVERY = 2
"""Steps between checkpoints."""


@dataclass(frozen=True)
class Ranks:
    """How many workers train on what, and where their checkpoints lie."""

    inputs: Mapping[str, Path]
    checkpoints: Path
    num_workers: int = 1
    zero_stage: int = 0
    killed_at: int | None = None
    """Steps done when the last rank is killed."""
    recipe: TrainRecipe = RECIPE


def train(ranks: Ranks) -> bool:
    """From the last checkpoint on; False where a rank died, and then none is left."""
    start = multiprocessing.get_context("forkserver")
    start.set_forkserver_preload(["tests.training.ranks", "deepspeed"])
    with tempfile.TemporaryDirectory() as meeting:
        running = [
            start.Process(target=_work, args=(ranks, rank, Path(meeting) / "store"))
            for rank in range(ranks.num_workers)
        ]
        for process in running:
            process.start()
        while left := [process for process in running if process.exitcode is None]:
            wait([process.sentinel for process in left])
            if any(process.exitcode for process in running):
                for process in running:
                    process.kill()
        return not any(process.exitcode for process in running)


def latest(checkpoints: Path) -> Path | None:
    """The checkpoint with the most steps."""
    return max(checkpoints.glob("step-*"), default=None)


def _work(ranks: Ranks, rank: int, meeting: Path) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=ranks.num_workers
    )
    if rank == ranks.num_workers - 1 and ranks.killed_at is not None:
        _die_at(ranks.killed_at)

    def report(step: int, metrics: Mapping[str, float], checkpoint: Path | None) -> None:  # noqa: ARG001
        if rank == 0:
            partial = ranks.checkpoints / "partial"
            shutil.move(checkpoint, partial)
            partial.rename(ranks.checkpoints / f"step-{step}")
        else:
            shutil.rmtree(checkpoint)

    ranks.checkpoints.mkdir(exist_ok=True)
    scale = TrainScale(
        num_workers=ranks.num_workers, zero_stage=ranks.zero_stage, checkpoint_every_steps=EVERY
    )
    job = TrainingJob(
        *(ranks.recipe, scale, ranks.inputs, rank, ranks.num_workers, report),
        resume=latest(ranks.checkpoints),
    )
    ENTRIES[type(ranks.recipe)](job)
    torch.distributed.destroy_process_group()


def _die_at(steps_done: int) -> None:
    step = Engine.step

    def dying(self: Engine, *args: object) -> dict[str, float]:
        if self.steps_done == steps_done:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *args)

    Engine.step = dying
