"""Invertible three-layer networks that turn latents into observations.

Square, without bias, leaky rectifiers between the layers; weights uniform in [-1, 1] with columns
of length 1. Of 25,000 matrices the best conditioned 0.1 % are drawn from (Zimmermann et al. 2021;
Daunhawer et al. 2023), since a network is as hard to undo as its worst layer.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float

NUM_LAYERS = 3
SLOPE = 0.2
NUM_CANDIDATES = 25_000
BEST_FRACTION = 0.001

Rows = Float[np.ndarray, "row dim"]


@dataclass(frozen=True)
class InvertibleMixing:
    """``x = W3 leaky(W2 leaky(W1 z))`` on rows."""

    weights: tuple[Float[np.ndarray, "dim dim"], ...]

    def __call__(self, latents: Rows) -> Rows:
        """Observations of latents."""
        rows = latents
        for number, weight in enumerate(self.weights):
            rows = rows @ weight
            if number < len(self.weights) - 1:
                rows = np.where(rows > 0, rows, SLOPE * rows)
        return rows

    def inverse(self, observations: Rows) -> Rows:
        """Latents of observations."""
        rows = observations
        for number, weight in enumerate(reversed(self.weights)):
            if number:
                rows = np.where(rows > 0, rows, rows / SLOPE)
            rows = np.linalg.solve(weight.T, rows.T).T
        return rows

    def condition(self) -> float:
        """Largest condition number of a layer."""
        return float(max(np.linalg.cond(weight) for weight in self.weights))


def draw_mixing(dim: int, rng: np.random.Generator) -> InvertibleMixing:
    """A network of layers drawn from the best conditioned of 25,000 matrices."""
    best = _well_conditioned(dim, int(rng.integers(2**32)))
    chosen = rng.choice(len(best), NUM_LAYERS, replace=False)
    return InvertibleMixing(tuple(best[chosen]))


@cache
def _well_conditioned(dim: int, seed: int) -> Float[np.ndarray, "best dim dim"]:
    candidates = np.random.default_rng(seed).uniform(-1, 1, (NUM_CANDIDATES, dim, dim))
    candidates /= np.linalg.norm(candidates, axis=1, keepdims=True)
    order = np.argsort(np.linalg.cond(candidates))
    best: Float[np.ndarray, "best dim dim"] = candidates[order[: int(BEST_FRACTION * len(order))]]
    return best
