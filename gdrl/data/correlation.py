"""Correlated factors as in the literature, and exactly what correlation that is.

Träuble et al. (ICML 2021, arXiv 2006.07886) draw a pair of factors a, b, scaled to [0, 1], with
weight ``exp(-(a - b)² / (2 σ²))`` and the others independently; Roth et al. (ICLR 2023, arXiv
2210.07347) multiply the weights of several pairs and draw from the whole grid with replacement.
Here the joint distribution is a table of the whole grid (at most 737,280 numbers), so sampling is
exact and so is every population quantity: enumeration, no Monte Carlo.

Scaled means position over (size - 1). Shapes and hues are taken in the order of their values, hue
0.9 and hue 0.0 as far apart as can be, as in the literature. The density makes the marginals of
the pair uneven: values near the ends have fewer partners.

It is symmetric as well: turned end for end it is the same, so every mean is 1/2 and both ways of a
pair's association are equal. Edges can be right or wrong here, their direction cannot.

No causal model is declared: the density says which combinations are seen, not what makes what. So
there is an association and no interventional truth.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Integer

from gdrl.data.factor_grid import FactorGrid
from gdrl.errors import DataError

SIGMAS = (0.04, 0.1, 0.2, 0.4, math.inf)
"""The literature's strengths, strongest first; infinity is the uncorrelated world."""
ALL = "all"
"""As the second of a pair: every other factor, which is the literature's one-with-all."""


@dataclass(frozen=True)
class Correlation:
    """Pairs of factor names, all with the same ``sigma``; no pair means independent factors.

    ``(("scale", "all"),)`` pairs scale with every other factor.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    sigma: float = 0.1


INDEPENDENT = Correlation()


def expanded_pairs(grid: FactorGrid, correlation: Correlation) -> tuple[tuple[int, int], ...]:
    """The correlated pairs as columns of the grid, ``all`` written out.

    Raises:
        DataError: no such factor, a factor with itself, a pair named twice, or sigma not above 0.
    """
    if not correlation.sigma > 0:
        raise DataError(f"correlation: sigma must be above 0, not {correlation.sigma}")
    pairs: list[tuple[int, int]] = []
    for first, second in correlation.pairs:
        others = grid.names if second == ALL else (second,)
        pairs += [
            (grid.position(first), grid.position(other))
            for other in others
            if second != ALL or other != first
        ]
    for i, j in pairs:
        if i == j:
            raise DataError(f"correlation: {grid.names[i]!r} is paired with itself")
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise DataError(f"correlation: a pair is named twice in {correlation.pairs}")
    return tuple(pairs)


@lru_cache(maxsize=4)
def joint(grid: FactorGrid, correlation: Correlation) -> Float[np.ndarray, "..."]:
    """The probability of every combination, one axis per factor; read only."""
    num_factors = len(grid.sizes)
    log_weight = np.zeros(grid.sizes)
    for i, j in expanded_pairs(grid, correlation):
        a, b = (
            (np.arange(grid.sizes[axis]) / (grid.sizes[axis] - 1)).reshape(
                [-1 if other == axis else 1 for other in range(num_factors)]
            )
            for axis in (i, j)
        )
        log_weight -= (a - b) ** 2 / (2 * correlation.sigma**2)
    # From the largest down: six pairs at sigma 0.04 reach exp(-1500), which is 0 in doubles.
    weight = np.exp(log_weight - log_weight.max())
    table: Float[np.ndarray, ...] = weight / weight.sum()
    table.flags.writeable = False
    return table


def sample(
    grid: FactorGrid,
    num: int,
    seed: int,
    correlation: Correlation = INDEPENDENT,
    fixed: Mapping[str, int] | None = None,
) -> Integer[np.ndarray, "num factor"]:
    """Draw ``num`` combinations, with replacement; the same arguments give the same rows.

    ``fixed`` (name -> position) draws from the distribution given these values: what BetaVAE and
    FactorVAE scores and traversals of one factor need.

    Raises:
        DataError: an impossible correlation, or ``fixed`` names no value of the grid.
    """
    given = {grid.position(name): value for name, value in (fixed or {}).items()}
    for column, value in given.items():
        if not 0 <= value < grid.sizes[column]:
            raise DataError(
                f"factor {grid.names[column]!r} takes 0 to {grid.sizes[column] - 1}, not {value}"
            )
    free = [column for column in range(len(grid.sizes)) if column not in given]
    chosen = tuple(given.get(column, slice(None)) for column in range(len(grid.sizes)))
    table = np.asarray(joint(grid, correlation)[chosen])
    cumulative = np.cumsum(table)
    if not cumulative[-1] > 0:
        raise DataError(f"the combination {dict(fixed or {})} has probability 0 here")
    uniform = np.random.default_rng(seed).random(num) * cumulative[-1]
    drawn = np.minimum(np.searchsorted(cumulative, uniform, side="right"), table.size - 1)
    factors = np.empty((num, len(grid.sizes)), dtype=np.int64)
    for column, value in given.items():
        factors[:, column] = value
    if free:
        factors[:, free] = np.stack(np.unravel_index(drawn, table.shape), axis=1)
    return factors


def population_mean(grid: FactorGrid, correlation: Correlation) -> Float[np.ndarray, " factor"]:
    """E[v] of each scaled factor; for a factor of two values its prevalence."""
    table = joint(grid, correlation)
    return np.array([_marginal(table, i) @ _levels(grid, i) for i in range(len(grid.sizes))])


def population_association(
    grid: FactorGrid, correlation: Correlation
) -> Float[np.ndarray, "factor factor"]:
    """``adjacency[i, j] = E[v_j | i high] - E[v_j | i low]``, exact; the diagonal is 0.

    Soft, on scaled factors: a combination counts as "i high" with weight v_i, as "i low" with
    1 - v_i, so the entry is ``cov(v_i, v_j) / (E[v_i] (1 - E[v_i]))``. It is what
    ``gdrl.graph.conditional_difference`` estimates from perfect scores, and for factors of two
    values it is P(j | i) - P(j | not i), the truth of the world ``faces``. Unlike there, factors
    that agree always do not reach 1: the entry is then var(v) / (E[v] (1 - E[v])), about 1/3 for a
    fine uniform grid. Use :func:`thresholded_association` for a weight that does.
    """
    return _difference(grid, correlation, threshold=False)


def thresholded_association(
    grid: FactorGrid, correlation: Correlation
) -> Float[np.ndarray, "factor factor"]:
    """``adjacency[i, j] = P(v_j > 1/2 | v_i > 1/2) - P(v_j > 1/2 | v_i <= 1/2)``, exact.

    1 for factors that agree always and have the same number of values, whatever that number. With
    an odd number the middle value counts as low.
    """
    return _difference(grid, correlation, threshold=True)


def _difference(
    grid: FactorGrid, correlation: Correlation, *, threshold: bool
) -> Float[np.ndarray, "factor factor"]:
    num_factors, table = len(grid.sizes), joint(grid, correlation)
    value = [_levels(grid, i) for i in range(num_factors)]
    if threshold:
        value = [(levels > 0.5).astype(np.float64) for levels in value]
    mean = np.array([_marginal(table, i) @ value[i] for i in range(num_factors)])
    adjacency = np.zeros((num_factors, num_factors))
    for i in range(num_factors):
        for j in range(i + 1, num_factors):
            covariance = value[i] @ _marginal(table, i, j) @ value[j] - mean[i] * mean[j]
            adjacency[i, j] = covariance / (mean[i] * (1 - mean[i]))
            adjacency[j, i] = covariance / (mean[j] * (1 - mean[j]))
    return np.asarray(np.round(adjacency, 12) + 0.0)  # exact zeros where only rounding is left


def _marginal(table: Float[np.ndarray, "..."], *columns: int) -> Float[np.ndarray, "..."]:
    """The distribution of one factor, or of a pair in ascending order."""
    others = tuple(axis for axis in range(table.ndim) if axis not in columns)
    return np.asarray(table.sum(axis=others))


def _levels(grid: FactorGrid, column: int) -> Float[np.ndarray, " levels"]:
    return np.linspace(0, 1, grid.sizes[column])
