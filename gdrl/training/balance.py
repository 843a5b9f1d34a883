"""Which scored images to show more often, so that attributes that go together are seen apart.

Where the world ties two attributes, an encoder may read either off the evidence for both and err
on few images. Shown those few more often, it has to tell them apart.
"""

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy import ndarray

RIDGE = 0.01
DRAWS_PER_IMAGE = 10
EXPONENTS = np.linspace(1, 0, 101)


def balanced(
    scores: Float[ndarray, "images attribute"],
    answered: Bool[ndarray, "images attribute"],
    least_effective: int,
) -> Int64[ndarray, " draws"]:
    """Rows to draw from, each as often as it should be shown; all once where all are alike.

    An image counts as the density of its scores were attributes independent over the density that
    they have, both normal: ``w = sqrt(det R) exp((z' R^-1 z - z' z) / 2)`` of the standardised
    scores z that were given and their correlations R. Weights that uneven are worth few images, so
    they are raised to the largest power of at most 1 at which Kish's effective number, ``sum(w)^2 /
    sum(w^2)``, is at least ``least_effective``.
    """
    images = len(scores)
    log_weights = _log_density_ratio(scores, answered)
    for exponent in EXPONENTS:
        weights = np.exp(exponent * (log_weights - log_weights.max()))
        weights /= weights.sum()
        if exponent == 0 or np.square(weights).sum() * least_effective <= 1:
            break
    if np.ptp(weights) * images < 1e-6:
        return np.arange(images)
    places = (np.arange(DRAWS_PER_IMAGE * images) + 0.5) / (DRAWS_PER_IMAGE * images)
    return np.minimum(np.searchsorted(weights.cumsum(), places), images - 1)


def _log_density_ratio(
    scores: Float[ndarray, "images attribute"], answered: Bool[ndarray, "images attribute"]
) -> Float[ndarray, " images"]:
    """``log w``; the ridge keeps it finite where two attributes always agree."""
    counts = np.maximum(answered.sum(axis=0), 1)
    centred = np.where(answered, scores - (scores * answered).sum(axis=0) / counts, 0.0)
    z = centred / np.maximum(centred.std(axis=0), 1e-6)
    correlations = (1 - RIDGE) * (z.T @ z) / len(z)
    np.fill_diagonal(correlations, 1.0)
    ratio = np.zeros(len(z))
    patterns, pattern_of = np.unique(answered, axis=0, return_inverse=True)
    for index, pattern in enumerate(patterns):
        rows, of = pattern_of.ravel() == index, np.ix_(pattern, pattern)
        excess = np.linalg.inv(correlations[of]) - np.eye(pattern.sum())
        known = z[rows][:, pattern]
        ratio[rows] = 0.5 * (
            np.einsum("ni,ij,nj->n", known, excess, known)
            + np.linalg.slogdet(correlations[of]).logabsdet
        )
    return ratio
