"""Which images make up the batch of a step: a function of (seed, step) alone.

The global batch does not know into how many parts it is cut, for ranks to share and for a rank to
take one after the other. So both change nothing but speed and memory, and a checkpoint's data
position is its step.
"""

import itertools
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from gdrl.errors import ConfigError
from gdrl.training.job import TrainingJob

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Part:
    """Every ``count``-th row of a batch, from ``index`` on."""

    index: int
    count: int


def parts_of(job: TrainingJob) -> list[Part]:
    """What this rank takes of a batch, one part after the other."""
    each = job.scale.accumulation_steps
    return [Part(job.rank * each + k, job.world_size * each) for k in range(each)]


def prefetched(
    batch_at: Callable[[int, Part], Batch], steps: range, parts: Sequence[Part]
) -> Generator[Batch, None, None]:
    """Every step's parts in order; while one is used, a thread makes the next."""
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
        coming = deque[Future[Batch]]()
        for step, part in itertools.product(steps, parts):
            coming.append(thread.submit(batch_at, step, part))
            if len(coming) > 1:
                yield coming.popleft().result()
        for last in coming:
            yield last.result()


def positions_at(
    step: int, batch_size: int, num_images: int, seed: int | tuple[int, ...]
) -> Int64[ndarray, " batch"]:
    """Positions of the images of one step: epoch after epoch, each in an order of its own."""
    entropy = (seed,) if isinstance(seed, int) else seed
    flat = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs, places = flat // num_images, flat % num_images
    positions = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = _order(entropy, int(epoch), num_images)
        positions[epochs == epoch] = order[places[epochs == epoch]]
    return positions


def whole_batch_at(
    step: int, batch_size: int, num_images: int, seed: int
) -> Int64[ndarray, " batch"]:
    """As :func:`positions_at`, none twice: what fills no batch sits its epoch out."""
    epoch, place = divmod(step, num_images // batch_size)
    return _order((seed,), epoch, num_images)[place * batch_size :][:batch_size]


@lru_cache(maxsize=4)
def _order(entropy: tuple[int, ...], epoch: int, num_images: int) -> Int64[ndarray, " images"]:
    """Kept between the steps of an epoch: of a million images, one takes as long as a step."""
    return np.random.default_rng([*entropy, epoch]).permutation(num_images)


def generator_at(step: int, seed: int) -> torch.Generator:
    """The source of a step's noise, the same on every rank."""
    mixed = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed))


def share(part: Part, array: Float[Tensor, "batch *rest"] | Int64[ndarray, " batch"]) -> Tensor:
    """A part's rows of something global."""
    return torch.as_tensor(array)[part.index :: part.count]


def check_shares(job: TrainingJob, **sizes: int) -> None:
    """Equal parts make the mean over parts the mean over the batch.

    Args:
        job: says how many parts there are, or may be where their number is elastic.
        sizes: settings of the recipe, by name.

    Raises:
        ConfigError: a size that cannot be cut into equal parts.
    """
    steps, scale = job.scale.accumulation_steps, f"scale.{job.section}"
    elastic = range(job.scale.min_workers, job.scale.num_workers + 1)
    numbers = elastic if job.scale.min_workers else [job.world_size]
    for (name, size), workers in itertools.product(sizes.items(), numbers):
        if size % (workers * steps):
            setting = f"recipe.{job.section}.{name}"
            least = f", {scale}.min_workers" if job.scale.min_workers else ""
            raise ConfigError(
                f"{setting} = {size} cannot be shared evenly by {workers} workers"
                + (f" in {steps} parts each" if steps > 1 else "")
                + f"; set {setting}{least}, {scale}.num_workers or {scale}.accumulation_steps so "
                f"that the product of the last two divides {name}"
            )


def check_whole(job: TrainingJob, reason: str, *, over_workers: bool) -> None:
    """Refuse parts where the mean over them is another number than that of the batch.

    Args:
        job: says how many parts there are.
        reason: names the setting, and what it needs all of a batch for.
        over_workers: several workers will do, since their shares are brought together.

    Raises:
        ConfigError: there are such parts.
    """
    most = job.scale.num_workers if job.scale.min_workers else job.world_size
    parts = job.scale.accumulation_steps * (1 if over_workers else most)
    if parts > 1:
        workers = f"scale.{job.section}.num_workers"
        raise ConfigError(
            f"{reason}, so parts of one would change the results; set "
            f"scale.{job.section}.accumulation_steps = 1"
            + (f", or raise {workers}" if over_workers else f" and {workers} = 1")
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
