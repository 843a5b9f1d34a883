"""Is the estimated graph the true one: existence, sign, direction and size of its edges.

``adjacency[i, j]`` is the weight of i -> j; diagonals are never looked at. The truth is the
population's ``P(j | i) - P(j | not i)``, so only estimates by ``conditional_difference`` are on its
scale and in its direction. No published work reports these, so the definitions are this project's
own.

A score over an empty set (no true edge, no asymmetric pair) is undefined and returned as NaN.
"""

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

Adjacency = Float[np.ndarray, "attribute attribute"]

# Symmetric estimates differ from their transpose by rounding only.
_TIE = 1e-9


def edge_auroc(estimated: Adjacency, truth: Adjacency, threshold: float = 0.2) -> float:
    """AUROC of ``|estimated|`` for the true edges, those with ``|truth| >= threshold``.

    Pitfall: ranks only, so a graph ten times too weak scores 1, and so does its transpose when the
    truth is near-symmetric: read it together with :func:`weight_error` and
    :func:`direction_accuracy`.
    """
    off = _off_diagonal(estimated, truth)
    is_edge = np.abs(truth[off]) >= threshold
    num_edges, num_others = int(is_edge.sum()), int((~is_edge).sum())
    if not num_edges or not num_others:
        return math.nan
    rank_sum = rankdata(np.abs(estimated[off]))[is_edge].sum()
    return float((rank_sum - num_edges * (num_edges + 1) / 2) / (num_edges * num_others))


def edge_average_precision(estimated: Adjacency, truth: Adjacency, threshold: float = 0.2) -> float:
    """Mean precision of ``|estimated|`` at each true edge, those with ``|truth| >= threshold``.

    ``Σ_n (recall_n - recall_n-1) precision_n`` over the distinct magnitudes, greatest first, as
    scikit-learn's ``average_precision_score``. Unlike :func:`edge_auroc` it looks at the top of the
    ranking, which is what a reader of a sparse graph sees.

    Pitfall: chance is not 0.5 but the share of pairs that are edges: compare across worlds only
    beside it.
    """
    off = _off_diagonal(estimated, truth)
    is_edge = np.abs(truth[off]) >= threshold
    if is_edge.all() or not is_edge.any():
        return math.nan
    return float(average_precision_score(is_edge, np.abs(estimated[off])))


def structural_hamming_distance(
    estimated: Adjacency, truth: Adjacency, threshold: float = 0.2
) -> int:
    """Pairs of attributes whose edges differ: missing, extra or turned, each counts 1.

    Edges are weights of at least ``threshold`` in magnitude; each pair has none, one either way,
    or both, and is right or wrong as a whole. Source: Tsamardinos et al., Machine Learning 2006,
    for graphs with at most one edge a pair.

    Pitfall: hangs on the threshold, an estimate of 0.19 for 0.21 costs as much as a missing
    edge; and the empty graph does well on sparse worlds: compare with
    ``structural_hamming_distance(0 * truth, truth)``.
    """
    _off_diagonal(estimated, truth)
    wrong = (np.abs(estimated) >= threshold) != (np.abs(truth) >= threshold)
    return int(np.triu(wrong | wrong.T, k=1).sum())


def sign_accuracy(estimated: Adjacency, truth: Adjacency, threshold: float = 0.2) -> float:
    """Share of the true edges (``|truth| >= threshold``) whose estimate has the true sign.

    Pitfall: an estimate of exactly 0 is wrong, and an unsigned graph is right as often as the truth
    is positive, which may be most of the time.
    """
    off = _off_diagonal(estimated, truth)
    is_edge = np.abs(truth[off]) >= threshold
    return _share(np.sign(estimated[off][is_edge]) == np.sign(truth[off][is_edge]))


def direction_accuracy(
    estimated: Adjacency, truth: Adjacency, asymmetry_threshold: float = 0.1
) -> float:
    """Share of asymmetric pairs, ``||t_ij| - |t_ji|| >= threshold``, with the stronger side right.

    An estimate that is as strong both ways counts one half, so that a symmetric measure stands at
    chance.

    Pitfall: between 0/1 attributes ``t_ij / t_ji = p_j (1 - p_j) / p_i (1 - p_i)``: the stronger
    direction starts at the attribute with the more extreme base rate. This tests base rates, not
    causes, and Somers' D as GEM prints it, being the transpose there, scores near 0.
    """
    _off_diagonal(estimated, truth)
    true_gap = np.abs(truth) - np.abs(truth.T)
    gap = np.abs(estimated) - np.abs(estimated.T)
    upper = np.triu(np.ones(truth.shape, dtype=bool), k=1)
    pairs = upper & (np.abs(true_gap) >= asymmetry_threshold)
    credit = np.where(np.abs(gap) < _TIE, 0.5, np.sign(gap) == np.sign(true_gap))
    return _share(credit[pairs])


def weight_error(estimated: Adjacency, truth: Adjacency) -> float:
    """Mean absolute error of the off-diagonal weights.

    Pitfall: most pairs are unrelated, so the empty graph does well; compare with
    ``weight_error(0 * truth, truth)``.
    """
    off = _off_diagonal(estimated, truth)
    return float(np.abs(estimated[off] - truth[off]).mean())


def interval_coverage(lower: Adjacency, upper: Adjacency, truth: Adjacency) -> float:
    """Share of the off-diagonal true weights that lie within ``[lower, upper]``.

    Pitfall: bootstrap intervals answer for the choice of images alone. Where the scores are biased
    (an MLLM that hesitates shrinks every weight) coverage falls below the nominal, and more images
    make it worse.
    """
    off = _off_diagonal(lower, truth)
    _off_diagonal(upper, truth)
    return _share((lower[off] <= truth[off]) & (truth[off] <= upper[off]))


def _share(right: Bool[np.ndarray, " pair"] | Float[np.ndarray, " pair"]) -> float:
    return float(right.mean()) if right.size else math.nan


def _off_diagonal(
    estimated: Adjacency, truth: Adjacency
) -> Bool[np.ndarray, "attribute attribute"]:
    if estimated.shape != truth.shape or truth.ndim != 2 or truth.shape[0] != truth.shape[1]:
        raise ValueError(f"cannot compare adjacencies {estimated.shape} and {truth.shape}")
    if not (np.isfinite(estimated).all() and np.isfinite(truth).all()):
        raise ValueError("an adjacency holds a number that is not finite")
    if len(truth) < 2:
        raise ValueError("a graph of fewer than two attributes has no edge to judge")
    return ~np.eye(len(truth), dtype=bool)
