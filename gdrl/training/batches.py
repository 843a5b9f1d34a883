"""Which images make up the batch of a step: a function of (seed, step) alone.

The global batch does not know how many ranks share it; each takes every ``world_size``-th image.
So the number of workers changes nothing but speed, and a checkpoint's data position is its step.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from gdrl.errors import ConfigError
from gdrl.training.job import TrainingJob


def positions_at(
    step: int, batch_size: int, num_images: int, seed: int | tuple[int, ...]
) -> Int64[ndarray, " batch"]:
    """Positions of the images of one step: epoch after epoch, each in an order of its own."""
    entropy = (seed,) if isinstance(seed, int) else seed
    flat = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, places = flat // num_images, flat % num_images
    positions = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = np.random.default_rng([*entropy, int(epoch)]).permutation(num_images)
        positions[epochs == epoch] = order[places[epochs == epoch]]
    return positions


def generator_at(step: int, seed: int) -> torch.Generator:
    """The source of a step's noise, the same on every rank."""
    mixed = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed))


def share(
    job: TrainingJob, array: Float[Tensor, "batch *rest"] | Int64[ndarray, " batch"]
) -> Tensor:
    """This rank's rows of something global."""
    return torch.as_tensor(array)[job.rank :: job.world_size]


def check_shares(job: TrainingJob, **sizes: int) -> None:
    """Equal shares make the mean over ranks the mean over the batch.

    Raises:
        ConfigError: a size that the ranks cannot share evenly.
    """
    for name, size in sizes.items():
        if size % job.world_size:
            raise ConfigError(
                f"{name} = {size} cannot be shared evenly by {job.world_size} workers; "
                f"set {name} or num_workers so that one divides the other"
            )


def to_images(
    pixels: UInt8[Tensor, "batch size size 3"],
) -> Float[Tensor, "batch 3 size size"]:
    """Bytes to floats in [0, 1]; channels stay last in memory, as bf16 convolutions prefer."""
    return pixels.permute(0, 3, 1, 2).float().div_(255)


def below(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries under ``prefix``, which their names lose."""
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
