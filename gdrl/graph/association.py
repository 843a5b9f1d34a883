"""Association between score columns, as pure functions of an array.

Scores are in [0, 1] (a 0..5 expectation divided by 5), one row per image and one column per
attribute. What the three measures share:

- the diagonal is 0;
- NaN marks an unanswered question, and deletion is pairwise: the weight between i and j uses
  exactly the images where both were answered, so a failed answer costs that image to one row and
  one column only;
- a column that is constant over those images gives weight 0: it says nothing about any other.

The measures disagree on direction, and no direction below is causal. For 0/1 scores

    conditional_difference[i, j] = cov(i, j) / (p_i (1 - p_i))  =  somers_d[j, i]

so both asymmetries come from base rates alone, and the paper's Somers' D points the other way.
"""

from typing import Literal, get_args

import numpy as np
from jaxtyping import Float

from gdrl.graph import _weighted

Measure = Literal["conditional_difference", "somers_d", "spearman"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

_FORMULAS = {
    "conditional_difference": _weighted.conditional_difference,
    "somers_d": _weighted.somers_d,
    "spearman": _weighted.spearman,
}
# A constant column differs from itself by rounding, about 1e-16; a bootstrap interval around such a
# number excludes 0 and would draw an edge out of nothing.
_ROUNDING = 1e-12


def conditional_difference(
    scores: Float[np.ndarray, "image attribute"],
) -> Float[np.ndarray, "attribute attribute"]:
    """``adjacency[i, j] = E[s_j | i high] - E[s_j | i low]``.

    Soft: image x counts as "i high" with weight ``s_i(x)``, as "i low" with ``1 - s_i(x)``. For 0/1
    scores this is P(j | i) - P(j | not i), the quantity the synthetic worlds state exactly. Unsure
    scores shrink it: at base rates of one half, labels reported as 0.1/0.9 turn 0.5 into 0.32.
    """
    return association(scores, "conditional_difference")


def somers_d(
    scores: Float[np.ndarray, "image attribute"],
) -> Float[np.ndarray, "attribute attribute"]:
    """``adjacency[i, j] = (N_c - N_d) / (N_c + N_d + T_i)``, T_i: pairs tied on i alone.

    The form printed in GEM (arXiv 2407.18999; its appendix A.6 works (1,2), (3,1), (2,3) to -1/3).
    It equals ``scipy.stats.somersd(s_j, s_i)``, the textbook D(i | j), and its asymmetry comes only
    from ties; so scores are first rounded to the six levels 0..5 that the MLLM was asked for
    (expectations hardly ever tie, and without ties the measure is symmetric).
    """
    return association(scores, "somers_d")


def spearman(
    scores: Float[np.ndarray, "image attribute"],
) -> Float[np.ndarray, "attribute attribute"]:
    """Spearman's rank correlation with mid-ranks for ties; symmetric, so it has no direction.

    Between attributes of different base rates it cannot reach 1: 10 % against 50 % stops at 1/3.
    """
    return association(scores, "spearman")


def association(
    scores: Float[np.ndarray, "image attribute"],
    measure: Measure,
    counts: Float[np.ndarray, "resample image"] | None = None,
) -> Float[np.ndarray, "*batch attribute attribute"]:
    """The weights in [-1, 1] between all columns of ``scores`` by ``measure``.

    With ``counts`` (how often each image was drawn in each bootstrap resample) the answer has a
    leading resample axis, each entry equal to the measure on the images repeated that often.

    Raises ValueError for scores outside [0, 1], an unknown measure or counts of another length.
    """
    if measure not in _FORMULAS:
        raise ValueError(f"unknown measure {measure!r}; choose one of {', '.join(MEASURES)}")
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2:
        raise ValueError(f"scores must be (image, attribute), not of shape {values.shape}")
    if not np.all(np.isnan(values) | ((values >= 0) & (values <= 1))):
        raise ValueError("scores must lie in [0, 1] or be NaN; divide 0..5 expectations by 5")
    draws = np.ones((1, len(values))) if counts is None else np.asarray(counts, dtype=np.float64)
    if draws.ndim != 2 or draws.shape[1] != len(values):
        raise ValueError(f"counts of shape {draws.shape} do not fit {len(values)} images")
    weights = _FORMULAS[measure](values, draws)
    weights[np.abs(weights) < _ROUNDING] = 0.0
    weights[:, np.eye(values.shape[1], dtype=bool)] = 0.0
    np.clip(weights, -1.0, 1.0, out=weights)
    return weights[0] if counts is None else weights
