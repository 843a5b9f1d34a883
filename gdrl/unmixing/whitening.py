"""Mean, covariance and whitening of rows in one blocked pass, in memory or memory-mapped."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gdrl.errors import DataError

BLOCK_ROWS = 8_192
"""At 512 float32 features 16 MB: beside its products, what a core's share of the cache holds."""

RANK_TOLERANCE = 1e-6
"""Of the largest standard deviation: a direction below it is rounding in float32."""

Features = Float[np.ndarray, "row feature"]


class Whitening(NamedTuple):
    """``(x - mean) @ matrix`` has identity covariance."""

    mean: Float[np.ndarray, " feature"]
    matrix: Float[np.ndarray, "feature component"]
    """Strongest principal direction first, each divided by its standard deviation."""
    explained: float
    """Share of the variance that the directions hold."""


def fit_whitening(features: Features, num_components: int) -> Whitening:
    """Onto the ``num_components`` strongest principal directions.

    Raises:
        DataError: fewer directions vary, or a value is not finite.
    """
    mean, covariance = moments(features)
    if not np.isfinite(covariance).all():
        raise DataError("some features are not finite; remove their rows before unmixing")
    variances, directions = np.linalg.eigh(covariance)
    variances, directions = variances[::-1], directions[:, ::-1]
    rank = int((variances > RANK_TOLERANCE**2 * variances[0]).sum())
    if num_components > rank:
        raise DataError(
            f"{num_components} components were asked for, but only {rank} directions of the "
            f"{len(mean)} features vary over {len(features)} rows; lower num_components"
        )
    matrix = directions[:, :num_components] / np.sqrt(variances[:num_components])
    explained = float(variances[:num_components].sum() / variances.sum())
    return Whitening(mean, matrix, explained)


def moments(
    features: Features,
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "feature feature"]]:
    """Mean and covariance in float64, from products in the features' own precision.

    Blocks are centred on the first one's mean: a common offset costs no digits.
    """
    dim = features.shape[1]
    offset = features[:BLOCK_ROWS].mean(axis=0, dtype=np.float64).astype(features.dtype)
    total, products = np.zeros(dim), np.zeros((dim, dim))
    for block in blocks(features):
        centred = block - offset
        total += centred.sum(axis=0, dtype=np.float64)
        products += centred.T @ centred
    shift = total / len(features)
    return offset + shift, products / len(features) - np.outer(shift, shift)


def blocks(features: Features) -> Iterator[Features]:
    """Consecutive rows, at most ``BLOCK_ROWS`` at once."""
    for start in range(0, len(features), BLOCK_ROWS):
        yield features[start : start + BLOCK_ROWS]
