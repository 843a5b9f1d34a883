"""Do intervals keep their promise, and do interventions do what the world's own would."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

# Coverage may miss its nominal value by this much: 90 % intervals should cover 85 to 95 %.
_TOLERANCE = 0.05


@dataclass(frozen=True)
class Calibration:
    """Share of true weights covered, against the share promised, and what the promise costs."""

    nominal: float
    coverage: float
    mean_width: float
    num_weights: int

    @property
    def is_calibrated(self) -> bool:
        """Whether coverage lies within 0.05 of nominal."""
        # The margin is inclusive: 0.9 - 0.85 is a hair more than 0.05 in binary.
        return abs(self.coverage - self.nominal) <= _TOLERANCE + 1e-9


@dataclass(frozen=True)
class InterventionConsistency:
    """How measured effects of interventions compare with the true ones; NaN over an empty set.

    ``agreement``: share of pairs in the same class (lowers, leaves alone, raises).
    ``error``: mean absolute difference. ``spillover``: mean |measured effect| where there is none.
    """

    agreement: float
    error: float
    spillover: float


def interval_calibration(
    lower: Float[np.ndarray, "*runs attribute attribute"],
    upper: Float[np.ndarray, "*runs attribute attribute"],
    truth: Float[np.ndarray, "*runs attribute attribute"],
    confidence: float = 0.9,
) -> Calibration:
    """Coverage of all off-diagonal true weights, pooled over runs (if any) with their own truths.

    ``coverage = mean [lower <= truth <= upper]``. Calibrated is within 0.05 of ``confidence``, this
    project's rule. One run is :func:`gdrl.evaluation.interval_coverage`.

    Pitfalls: weights of one run share their images, so twelve weights are far fewer than twelve
    trials: pool ten runs or more before believing a miss; and intervals that are wide enough cover
    everything: read ``mean_width``.

    Raises ValueError for shapes that do not pair up, intervals that are upside down, or numbers
    that are not finite.
    """
    if not lower.shape == upper.shape == truth.shape:
        raise ValueError(f"intervals {lower.shape}, {upper.shape} and truth {truth.shape} differ")
    off = _off_diagonal(truth)
    low, high, true = lower[..., off], upper[..., off], truth[..., off]
    if not all(np.isfinite(x).all() for x in (low, high, true)):
        raise ValueError("an interval or a true weight is not finite")
    if (low > high).any():
        raise ValueError("an interval's lower end lies above its upper end")
    covered = (low <= true) & (true <= high)
    return Calibration(confidence, float(covered.mean()), float((high - low).mean()), covered.size)


def intervention_consistency(
    measured: Float[np.ndarray, "attribute attribute"],
    truth: Float[np.ndarray, "attribute attribute"],
    threshold: float = 0.1,
) -> InterventionConsistency:
    """Do interventions on attribute i change attribute j as the world's own interventions do.

    ``[i, j]``: the effect on j, as an independent classifier sees it, of setting i from absent to
    present; the truth is ``P(j | do(i)) - P(j | do(not i))``. An effect below ``threshold`` in
    magnitude counts as none. No published work reports this, so the definition is this project's.

    Pitfall: most pairs of a sparse world have no effect, so a generator that changes nothing agrees
    on most of them: compare with ``intervention_consistency(0 * truth, truth)``; and the truth here
    is causal, while a graph of associations also moves the common effects of one cause.

    Raises ValueError for shapes that do not pair up or numbers that are not finite.
    """
    if measured.shape != truth.shape:
        raise ValueError(f"measured {measured.shape} and true effects {truth.shape} do not pair up")
    off = _off_diagonal(truth)
    seen, true = measured[off], truth[off]
    if not (np.isfinite(seen).all() and np.isfinite(true).all()):
        raise ValueError("an effect is not finite")
    classes = [np.sign(x) * (np.abs(x) >= threshold) for x in (seen, true)]
    idle = np.abs(seen[classes[1] == 0])
    return InterventionConsistency(
        agreement=float((classes[0] == classes[1]).mean()),
        error=float(np.abs(seen - true).mean()),
        spillover=float(idle.mean()) if idle.size else math.nan,
    )


def _off_diagonal(
    truth: Float[np.ndarray, "*runs attribute attribute"],
) -> Bool[np.ndarray, "attribute attribute"]:
    if truth.ndim < 2 or truth.shape[-1] != truth.shape[-2] or truth.shape[-1] < 2:
        raise ValueError(f"{truth.shape} is not a square matrix over two attributes or more")
    return ~np.eye(truth.shape[-1], dtype=bool)
