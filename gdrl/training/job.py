"""What a training function is given, and nothing else: no Ray, no storage, no settings tree.

A unit test builds a :class:`TrainingJob` by hand; a GPU without Ray runs one from a ten-line
script.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from gdrl.config import TrainScale

Report = Callable[[int, Mapping[str, float], Path | None], None]
"""``report(step, metrics, checkpoint)``: how far training is.

With a checkpoint every rank calls it, and the folder is gone once it returns: keep a copy.
"""


@dataclass(frozen=True)
class TrainingJob:
    """One worker's share of a training run."""

    recipe: BaseModel
    scale: TrainScale
    inputs: Mapping[str, Path]
    """Artifact name to local folder."""
    rank: int
    world_size: int
    report: Report
    resume: Path | None = None
    """Folder of the checkpoint to go on from."""
