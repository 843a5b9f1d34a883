"""The β-VAE's training with known trouble; Ray Train workers import this module by its name.

Beside its images the data set holds ``notes``, the path of a folder: there each step is written
down, and what is to go wrong is found. While there is ``slow`` among them, steps take their time
and each is logged.
"""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from gdrl.training import loop, vae
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob

TROUBLED_STEP = 3
"""Steps done when trouble comes, on the last rank."""


def train(job: TrainingJob) -> None:
    """``vae.train``, whose engine writes its steps down and meets what ``trouble`` asks for."""
    notes = Path((job.inputs["dataset"] / "notes").read_text())
    step = Engine.step

    def noted(self: Engine, *args: Any) -> dict[str, float]:
        if job.rank == 0:
            with (notes / "steps").open("a") as file:
                file.write(f"{self.steps_done} ")
        if (notes / "slow").exists():
            loop.LOG_EVERY_STEPS = 1
            time.sleep(0.5)
        if self.steps_done == TROUBLED_STEP and job.rank == job.world_size - 1:
            _meet(notes)
        return step(self, *args)

    Engine.step = noted
    vae.train(job)


def _meet(notes: Path) -> None:
    """Once: whoever tries again meets nothing, but for a disk that stays full."""
    trouble = notes / "trouble"
    if not trouble.exists():
        return
    while not has_checkpoint(notes.parent):
        time.sleep(0.05)  # until that of step 2 is committed
    kind = trouble.read_text()
    if kind == "full disk":
        # Larger than a log, smaller than a checkpoint: no file may grow beyond this.
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, most))
        return
    trouble.unlink()
    if kind == "exception":
        raise RuntimeError("out of luck")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(600)  # until the driver or the node is gone


def has_checkpoint(folder: Path) -> bool:
    """Whether Ray Train's record names one: only such a one is resumed from."""
    records = folder.rglob("checkpoint_manager_snapshot.json")
    return any('"checkpoint_dir_name"' in record.read_text() for record in records)
