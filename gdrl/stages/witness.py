"""The second witness: the MLLM is shown traversals and says which attribute changes.

The first witness is the assignment of latents to attributes by how well codes tell scores apart
(:mod:`gdrl.graph.matching`). The two see different things, one the encoder and one the decoder, and
both verdicts are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from gdrl.data.pictures import encode_png
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.questions import naming_query

Ask: TypeAlias = Callable[[Sequence[Query]], list[Answer]]


@dataclass(frozen=True)
class Verdict:
    """What the MLLM saw along one latent's traversal; ``attribute`` is None for "none of these"."""

    attribute: str | None
    probability: float


def name_strips(
    strips: Sequence[UInt8[ndarray, "faces frames height width 3"]],
    attributes: Sequence[str],
    ask: Ask,
) -> list[Verdict]:
    """Ask about each face's strip of each latent and average the answers over the faces."""
    queries = [
        naming_query([encode_png(frame) for frame in face], attributes)
        for strip in strips
        for face in strip
    ]
    answers = iter(ask(queries))
    return [_verdict([next(answers).probabilities for _ in strip], attributes) for strip in strips]


def _verdict(
    probabilities: Sequence[tuple[float, ...] | None], attributes: Sequence[str]
) -> Verdict:
    answered = [p for p in probabilities if p is not None]
    if not answered:
        return Verdict(None, 0.0)
    mean = np.mean(answered, axis=0)
    best = int(mean.argmax())
    return Verdict(attributes[best] if best < len(attributes) else None, float(mean[best]))
