"""The pictures the tiny LLaVA learns from: faces, and the same faces with one thing changed.

Attributes are drawn independently, so nothing in the training data says which of them go together:
what the model later reports about a correlated world, it has seen there.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
from jaxtyping import Bool, Int8, Int64, UInt8
from numpy import ndarray

from gdrl.data.faces import ATTRIBUTES, STYLES, render, sample_factors

NUM_FLIPS = 3
"""Pictures of a scene in which one attribute is flipped, each another one."""
BASE, NUISANCE = 0, NUM_FLIPS + 1
"""Places of the face itself, and of the face with all but its attributes redrawn."""


@dataclass(frozen=True)
class Scenes:
    """Faces with their variants: the face, ``NUM_FLIPS`` flips, the nuisance variant."""

    pictures: UInt8[ndarray, "scenes variants 64 64 3"]
    factors: Int8[ndarray, "scenes variants attributes"]
    flipped: Int64[ndarray, "scenes flips"]
    """Which attribute flip number j flips (variant j + 1)."""
    styles: Int64[ndarray, " scenes"]

    def __len__(self) -> int:
        return len(self.pictures)

    def where(self, chosen: Bool[ndarray, " scenes"]) -> "Scenes":
        """The chosen scenes."""
        return Scenes(
            self.pictures[chosen], self.factors[chosen], self.flipped[chosen], self.styles[chosen]
        )


def render_scenes(num: int, seed: int, num_processes: int = 1) -> Scenes:
    """Draw ``num`` scenes, styles in turn; disjoint seeds give disjoint faces."""
    generator = np.random.default_rng(seed)
    base = sample_factors(num, seed, independent=True)
    factors = np.repeat(base[:, None], NUM_FLIPS + 2, axis=1)
    order = generator.permuted(np.tile(np.arange(len(ATTRIBUTES)), (num, 1)), axis=1)
    flipped = order[:, :NUM_FLIPS]
    for flip in range(NUM_FLIPS):
        factors[np.arange(num), flip + 1, flipped[:, flip]] ^= 1
    styles = np.arange(num) % len(STYLES)
    arguments = [(factors[i], (seed, i), STYLES[styles[i]]) for i in range(num)]
    if num_processes == 1:
        pictures = [_render_scene(argument) for argument in arguments]
    else:
        # spawn: a forked child of a process that runs threads (torch) can deadlock.
        with ProcessPoolExecutor(num_processes, mp_context=get_context("spawn")) as pool:
            pictures = list(pool.map(_render_scene, arguments, chunksize=32))
    return Scenes(np.stack(pictures), factors, flipped, styles)


def _render_scene(
    argument: tuple[Int8[ndarray, "variants attributes"], tuple[int, int], str],
) -> UInt8[ndarray, "variants 64 64 3"]:
    factors, seed, style = argument
    seeds: Sequence[tuple[int, ...]] = [(*seed, 0)] * (len(factors) - 1) + [(*seed, 1)]
    return np.stack([render(row, s, style) for row, s in zip(factors, seeds, strict=True)])
