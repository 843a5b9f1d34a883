"""The state of a training run: one safetensors file that knows neither workers nor ZeRO stage.

Weights and Adam's moments are whole, in float32, by name. So any number of workers at any ZeRO
stage goes on from what any other wrote, and nothing is unpickled. DeepSpeed's own checkpoints are
pickles, one a rank; another number of workers reads them after a conversion, and at ZeRO-0 never.
The price is three times the weights in each rank's memory while a checkpoint is made.

No state of a random generator is kept: all that is drawn follows from the seed and the step.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gdrl.errors import Diverged, StorageError, TrainingFailed

FILE = "training.safetensors"
WEIGHTS = "weights"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam keeps of each parameter."""

ByName = dict[str, Tensor]


@dataclass(frozen=True)
class TrainingState:
    """All that the next step depends on."""

    step: int
    """Optimiser steps done."""
    weights: ByName
    moments: dict[str, ByName]
    """Adam's, by kind and parameter; none of a parameter that never had a gradient."""

    def check_finite(self) -> None:
        """Nothing that is not finite may become a checkpoint.

        Raises:
            Diverged: some tensor is not finite.
        """
        found = self._tensors().items()
        if broken := [name for name, value in found if not value.isfinite().all()]:
            raise Diverged(f"the state is not finite ({', '.join(broken[:3])})")

    def save(self, folder: Path) -> None:
        """Write :data:`FILE` into ``folder``.

        Raises:
            StorageError: it cannot be written, as on a full disk.
        """
        try:
            save_file(self._tensors(), folder / FILE, metadata={"step": str(self.step)})
        except (OSError, SafetensorError) as error:
            raise StorageError(
                f"no checkpoint can be written to {folder} ({error}); make room there, or set "
                "TMPDIR to a folder with room on every worker"
            ) from error

    def _tensors(self) -> ByName:
        return {
            f"{kind}/{name}": value
            for kind, values in {WEIGHTS: self.weights, **self.moments}.items()
            for name, value in values.items()
        }


def read_state(folder: Path) -> TrainingState:
    """What :meth:`TrainingState.save` wrote.

    Raises:
        TrainingFailed: there is no such file, or it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise TrainingFailed(f"{folder} holds no {FILE}: not a checkpoint; delete it to start anew")
    found: dict[str, ByName] = {kind: {} for kind in (WEIGHTS, *MOMENTS)}
    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                kind, name = key.split("/", 1)
                found[kind][name] = file.get_tensor(key)
    except SafetensorError as error:
        raise TrainingFailed(f"{path} is damaged ({error}); delete it to start anew") from error
    return TrainingState(step, found.pop(WEIGHTS), found)


def common_step(moments: dict[str, ByName]) -> Tensor:
    """Adam's count of steps, for an optimiser that keeps one for many parameters."""
    return torch.stack([step.cpu() for step in moments["step"].values()]).max()
