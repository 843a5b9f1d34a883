"""What the tiny LLaVA is shown and what it should answer.

Two kinds of lessons. *Presence*: one picture, every attribute asked, levels 0 to 5; some pictures
are cross-fades, and lambda of the way from absent to present is level round(5 lambda). *Strips*:
frames along which one attribute changes, in part or beyond, while something else drifts a little;
or along which nothing changes that has a name.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor

from gdrl.data.faces import ATTRIBUTES
from gdrl.mllm.questions import LEVELS
from gdrl.training.tiny_llava.scenes import BASE, NUISANCE, NUM_FLIPS, Scenes

MAX_LEVEL = len(LEVELS) - 1
NOTHING = len(ATTRIBUTES)
"""Label of a strip along which no named attribute changes."""

_FADED_SHARE = 0.4
_NOTHING_SHARE = 0.2
_SUBSET_SHARE = 0.3
"""Batches of strips that offer only some attributes; if the changing one is missing, the answer is
none of these."""


@dataclass(frozen=True)
class Presence:
    """Pictures, and the level of every attribute in each."""

    pictures: Float[ndarray, "batch 64 64 3"]
    """0 to 255."""
    levels: Int64[Tensor, "batch attributes"]


@dataclass(frozen=True)
class Strips:
    """The ends of strips, the options offered for all of them, and which option is right."""

    frames: Float[ndarray, "batch 2 64 64 3"]
    """0 to 255."""
    options: tuple[str, ...]
    """The attributes offered, without the option none of these."""
    answers: Int64[Tensor, " batch"]
    """Index into ``options``; ``len(options)`` is none of these."""


def presence(scenes: Scenes, num: int, generator: np.random.Generator) -> Presence:
    """Draw pictures; a share of them is faded between a face and one of its flips."""
    scene = generator.integers(len(scenes), size=num)
    flip = generator.integers(NUM_FLIPS, size=num)
    faded = generator.random(num) < _FADED_SHARE
    share = np.where(faded, generator.random(num), generator.integers(0, 2, num))
    first = scenes.pictures[scene, BASE].astype(np.float32)
    second = scenes.pictures[scene, flip + 1].astype(np.float32)
    # A clean picture may also be the nuisance variant, which shows the base's attributes.
    redrawn = ~faded & (share == 0) & (generator.random(num) < 0.5)
    first[redrawn] = scenes.pictures[scene[redrawn], NUISANCE]
    pictures = _blend(first, second, share)
    levels = (
        (1 - share[:, None]) * scenes.factors[scene, BASE]
        + share[:, None] * scenes.factors[scene, flip + 1]
    ) * MAX_LEVEL
    return Presence(pictures, torch.from_numpy(np.rint(levels).astype(np.int64)))


def strips(
    scenes: Scenes,
    num: int,
    generator: np.random.Generator,
    *,
    all_options: bool = False,
    partial: bool = True,
) -> Strips:
    """Draw strips with one list of options.

    Args:
        scenes: where the pictures come from.
        num: how many strips.
        generator: every choice is drawn from it.
        all_options: offer all attributes, in the world's order.
        partial: show parts of changes, or more than all of them, beside something else that drifts;
            otherwise whole changes and no drift.
    """
    scene = generator.integers(len(scenes), size=num)
    kind = generator.random(num)
    changes = kind >= _NOTHING_SHARE
    flips = generator.permuted(np.tile(np.arange(NUM_FLIPS), (num, 1)), axis=1)[:, :2]
    changing = scenes.flipped[scene, flips[:, 0]]
    labels = np.where(changes, changing, NOTHING)

    # Where nothing named changes, the nuisances do; the rest is drift: another attribute or the
    # nuisances, by a fraction of the change.
    main = np.where(changes, flips[:, 0] + 1, NUISANCE)
    drift = np.where(generator.random(num) < 0.5, flips[:, 1] + 1, NUISANCE)
    amplitude = np.where(changes, generator.uniform(0.35, 1.25, num), generator.uniform(0, 1, num))
    drifted = generator.uniform(0, 0.3, num) * (generator.random(num) < 0.6)
    drifted *= np.where(changes, np.minimum(amplitude, 1), 0.3)
    if not partial:
        amplitude, drifted = np.ones(num), np.zeros(num)
    frames = _frames(scenes, scene, (main, amplitude), (drift, drifted), generator)

    options = list(range(len(ATTRIBUTES))) if all_options else _options(generator)
    place = {attribute: index for index, attribute in enumerate(options)}
    answers = [place.get(int(label), len(options)) for label in labels]
    return Strips(frames, tuple(ATTRIBUTES[i] for i in options), torch.tensor(answers))


def _frames(
    scenes: Scenes,
    scene: Int64[ndarray, " batch"],
    main: tuple[Int64[ndarray, " batch"], Float[ndarray, " batch"]],
    drift: tuple[Int64[ndarray, " batch"], Float[ndarray, " batch"]],
    generator: np.random.Generator,
) -> Float[ndarray, "batch 2 64 64 3"]:
    """Base + progress * change + drift, from left to right or from right to left.

    An amplitude below 1 starts anywhere between the face and its flip; above 1 it overshoots both
    ends, as traversals beyond the posterior do.
    """
    base = scenes.pictures[scene, BASE].astype(np.float32)
    result = np.repeat(base[:, None], 2, axis=1)
    time = np.array([0.0, 1.0])
    for variant, amplitude in (main, drift):
        room = 1 - amplitude
        start = np.where(room > 0, generator.uniform(0, 1, len(scene)) * room, room / 2)
        forward = start[:, None] + amplitude[:, None] * time
        backward = generator.random(len(scene)) < 0.5
        progress = np.where(backward[:, None], forward[:, ::-1], forward).astype(np.float32)
        change = scenes.pictures[scene, variant] - base
        result += progress[:, :, None, None, None] * change[:, None]
    return np.clip(result, 0, 255, out=result)


def _options(generator: np.random.Generator) -> list[int]:
    """Attributes in random order: mostly all of them, sometimes 4 or more."""
    order: list[int] = generator.permutation(len(ATTRIBUTES)).tolist()
    if generator.random() < _SUBSET_SHARE:
        return order[: int(generator.integers(4, len(ATTRIBUTES)))]
    return order


def _blend(
    first: Float[ndarray, "batch 64 64 3"],
    second: Float[ndarray, "batch 64 64 3"],
    share: Float[ndarray, " batch"],
) -> Float[ndarray, "batch 64 64 3"]:
    weight = share.astype(np.float32)[:, None, None, None]
    return np.asarray((1 - weight) * first + weight * second)
