"""What a training function is given, and nothing else: no Ray, no storage, no settings tree.

A unit test builds a :class:`TrainingJob` by hand; a GPU without Ray runs one from a ten-line
script.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gdrl.config import (
    ContrastiveRecipe,
    DisGraphRecipe,
    EncodersRecipe,
    TrainRecipe,
    TrainScale,
    UnmixingRecipe,
    VaeRecipe,
)

PUBLISHED = "published"
"""Folder of a checkpoint that holds what goes into the artifact."""

_SECTIONS: dict[type[TrainRecipe], str] = {
    VaeRecipe: "vae",
    EncodersRecipe: "encoders",
    UnmixingRecipe: "unmixing",
    DisGraphRecipe: "disgraph",
    ContrastiveRecipe: "contrastive",
}

Report = Callable[[int, Mapping[str, float], Path | None], None]
"""``report(step, metrics, checkpoint)``: how far training is.

With a checkpoint every rank calls it. The folder is the reporter's from then on: rank 0's is kept,
and it may be copied while training goes on.
"""


@dataclass(frozen=True)
class TrainingJob:
    """One worker's share of a training run."""

    recipe: TrainRecipe
    scale: TrainScale
    inputs: Mapping[str, Path]
    """Artifact name to local folder."""
    rank: int
    world_size: int
    report: Report
    resume: Path | None = None
    """Folder of the checkpoint to go on from."""
    preempted: Callable[[], bool] = lambda: False
    """Whether a rank's machine is about to be taken away. All ranks ask at the same steps."""

    @property
    def section(self) -> str:
        """Where recipe and scale stand in the settings: ``recipe.vae`` and ``scale.vae``."""
        return _SECTIONS[type(self.recipe)]
