"""InfoNCE tells each pair from all others of the batch, whichever worker has them."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from gdrl.artifacts import Storage
from gdrl.config import ContrastiveRecipe, PairedLatentsRecipe, TrainScale
from gdrl.distributed.train import fit

RECIPE = ContrastiveRecipe(
    latents=PairedLatentsRecipe(dim=2, private_dim=1), steps=3, batch_size=32, learning_rate=1e-4
)


@pytest.mark.usefixtures("cluster")
def test_two_workers_train_like_one(tmp_path: Path) -> None:
    alone, together = (trained(tmp_path / str(number), number) for number in (1, 2))
    for name in ("loss", "r2", "mcc"):
        assert together[0][name] == pytest.approx(alone[0][name], rel=1e-3), name
    for name, weights in alone[1].items():
        # Adam steps by the sign of a gradient, whose rounding may decide where it is almost 0.
        differs = np.abs(weights - together[1][name]) > 1e-6
        assert differs.mean() < 0.01, name


def trained(folder: Path, num_workers: int) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    metrics = fit(
        "gdrl.training.contrastive:train",
        name="contrastive",
        recipe=RECIPE,
        inputs={},
        scale=TrainScale(num_workers=num_workers),
        storage=Storage(str(folder / "training")),
        out=folder / "out",
    )
    return metrics, load_file(folder / "out/model.safetensors")
