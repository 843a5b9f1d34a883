"""The association measures on bootstrap resamples: counts in, one matrix per resample out.

A resample is a row of ``counts``, how often each image was drawn. Sums over drawn images are then
products with that row, so that 500 resamples cost a few matrix products instead of 500 passes.
NaN scores have weight 0 in every sum they would enter. 0 / 0 is 0: no evidence, no edge.
"""

import numpy as np
from jaxtyping import Bool, Float

_NUM_LEVELS = 6
# Sums of fractional scores: less than a billionth of an image is rounding.
_NO_MASS = 1e-9
Scores = Float[np.ndarray, "image attribute"]
Counts = Float[np.ndarray, "resample image"]
Weights = Float[np.ndarray, "resample attribute attribute"]


def conditional_difference(scores: Scores, counts: Counts) -> Weights:
    answered = ~np.isnan(scores)
    present = np.where(answered, scores, 0.0)
    both = _pair_sums(answered.astype(float), answered.astype(float), counts)
    high = _pair_sums(present, answered.astype(float), counts)
    joint = _pair_sums(present, present, counts)
    low = both - high
    total_of_j = high.swapaxes(1, 2)
    difference = _ratio(joint, high) - _ratio(total_of_j - joint, low)
    return np.where((high > _NO_MASS) & (low > _NO_MASS), difference, 0.0)


def somers_d(scores: Scores, counts: Counts) -> Weights:
    answered = ~np.isnan(scores)
    levels = np.floor(np.where(answered, scores, 0.0) * (_NUM_LEVELS - 1) + 0.5).astype(int)
    one_hot = np.eye(_NUM_LEVELS)[levels] * answered[:, :, None]
    num_attributes = scores.shape[1]
    weights = np.empty((len(counts), num_attributes, num_attributes))
    for i in range(num_attributes):
        weights[:, i] = _somers_from_tables(_tables_of(i, one_hot, counts))
    return weights


def spearman(scores: Scores, counts: Counts) -> Weights:
    answered = ~np.isnan(scores)
    present = np.where(answered, scores, 0.0)
    columns = range(scores.shape[1])
    ranks = [_mid_ranks(present[:, i], counts * answered[:, i]) for i in columns]
    weights = np.zeros((len(counts), len(columns), len(columns)))
    for i in columns:
        for j in range(i):
            both = answered[:, i] & answered[:, j]
            drawn = counts * both
            left, right = (
                # Ranks hold only among the images of the pair: redo them where answers are missing.
                ranks[c] if _same(both, answered[:, c]) else _mid_ranks(present[:, c], drawn)
                for c in (i, j)
            )
            weights[:, i, j] = weights[:, j, i] = _pearson(left, right, drawn)
    return weights


def _pair_sums(left: Scores, right: Scores, counts: Counts) -> Weights:
    """``out[b, i, j]`` = sum over images of counts[b] * left[:, i] * right[:, j]."""
    return np.stack([counts @ (left[:, [i]] * right) for i in range(left.shape[1])], axis=1)


def _tables_of(
    i: int, one_hot: Float[np.ndarray, "image attribute level"], counts: Counts
) -> Float[np.ndarray, "resample attribute level_i level_j"]:
    """The contingency tables of attribute ``i`` against every attribute."""
    num_attributes = one_hot.shape[1]
    rows_of_level = []
    for level in range(_NUM_LEVELS):
        rows = np.flatnonzero(one_hot[:, i, level])
        sums = counts[:, rows] @ one_hot[rows].reshape(len(rows), num_attributes * _NUM_LEVELS)
        rows_of_level.append(sums.reshape(-1, num_attributes, _NUM_LEVELS))
    return np.stack(rows_of_level, axis=2)


def _somers_from_tables(
    tables: Float[np.ndarray, "resample attribute level_i level_j"],
) -> Float[np.ndarray, "resample attribute"]:
    """(N_c - N_d) over the pairs that are not tied on j.

    Pairs tied on both count nowhere, and so an image drawn twice is never compared with itself.
    """
    below = np.tril(np.ones((_NUM_LEVELS, _NUM_LEVELS)), k=-1)
    lower_on_i = np.cumsum(tables, axis=2) - tables
    concordant_minus_discordant = (tables * (lower_on_i @ (below.T - below))).sum(axis=(2, 3))
    levels_of_j = tables.sum(axis=2)
    untied_on_j = (levels_of_j.sum(axis=2) ** 2 - (levels_of_j**2).sum(axis=2)) / 2
    return _ratio(concordant_minus_discordant, untied_on_j)


def _mid_ranks(
    column: Float[np.ndarray, " image"], drawn: Counts
) -> Float[np.ndarray, "resample image"]:
    """Mid-ranks within each resample, less one half (a shift that no correlation sees)."""
    order = np.argsort(column, kind="stable")
    starts = np.flatnonzero(np.diff(column[order], prepend=-np.inf))
    drawn_of_value = np.add.reduceat(drawn[:, order], starts, axis=1)
    _, value_of_image = np.unique(column, return_inverse=True)
    rank_of_value = np.cumsum(drawn_of_value, axis=1) - drawn_of_value / 2
    return rank_of_value[:, value_of_image]


def _pearson(
    left: Float[np.ndarray, "resample image"],
    right: Float[np.ndarray, "resample image"],
    drawn: Counts,
) -> Float[np.ndarray, " resample"]:
    total = drawn.sum(axis=1)
    left = left - _ratio((drawn * left).sum(axis=1), total)[:, None]
    right = right - _ratio((drawn * right).sum(axis=1), total)[:, None]
    weighted_right = drawn * right
    covariance = (left * weighted_right).sum(axis=1)
    spread_left = np.sqrt((drawn * left**2).sum(axis=1))
    spread_right = np.sqrt((right * weighted_right).sum(axis=1))
    return _ratio(_ratio(covariance, spread_left), spread_right)


def _same(one: Bool[np.ndarray, " image"], other: Bool[np.ndarray, " image"]) -> bool:
    return bool((one == other).all())


def _ratio(
    numerator: Float[np.ndarray, "*shape"], denominator: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    ratio = np.zeros_like(numerator)
    np.divide(numerator, denominator, out=ratio, where=denominator > _NO_MASS)
    return ratio
