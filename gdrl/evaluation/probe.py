"""Few-shot and domain-shift probes: logistic regression on features, its C found on a few more.

The protocol of linear probes of CLIP (CoOp), as arXiv 2402.06223 uses it: C from seven powers of
ten by validation accuracy, then eight bisection steps in log10 C around the best one.

That protocol penalises the square of the weights, which no rotation changes: components of one
whitening are probed alike, independent or not. A penalty on their size tells them apart.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from jaxtyping import Float, Int64
from sklearn.linear_model import LogisticRegression

from gdrl.errors import DataError

GRID = tuple(10.0**power for power in (6, 4, 2, 0, -2, -4, -6))
NUM_BISECTIONS = 8
MAX_ITERATIONS = 1_000
MAX_VALIDATION_SHOTS = 4

Penalty = Literal["l2", "l1"]
SOLVERS: Final[dict[Penalty, dict[str, Any]]] = {
    "l2": {"max_iter": MAX_ITERATIONS},
    "l1": {"l1_ratio": 1.0, "solver": "liblinear", "max_iter": MAX_ITERATIONS, "random_state": 0},
}

Features = Float[np.ndarray, "row feature"]
Labels = Int64[np.ndarray, " row"]


@dataclass(frozen=True)
class Probe:
    """A fitted classifier and the C that it was given."""

    model: LogisticRegression
    inverse_strength: float

    def accuracy(self, features: Features, labels: Labels, classes: Collection[int] = ()) -> float:
        """Share of rows that are classified right.

        ``classes`` are those that a shifted domain has, where it lacks some: no other is given as
        an answer (ImageNet-A and -R have 200 of 1,000).
        """
        scores = self.model.decision_function(features)
        if scores.ndim == 1:
            scores = np.stack([-scores, scores], axis=1)
        if classes:
            scores[:, ~np.isin(self.model.classes_, list(classes))] = -np.inf
        return float((self.model.classes_[scores.argmax(axis=1)] == labels).mean())


def fit_probe(
    features: Features,
    labels: Labels,
    held_out: Float[np.ndarray, "held_out feature"],
    held_out_labels: Int64[np.ndarray, " held_out"],
    penalty: Penalty = "l2",
) -> Probe:
    """Fit on the one, choose C by accuracy on the other.

    A tie goes to the largest C of the grid, then to the smaller of two, as in CoOp's code. ``l1``
    tells two classes apart, and penalises the intercept like a weight.

    Raises:
        DataError: fewer than two classes, or with ``l1`` more.
    """
    classes = len(np.unique(labels))
    if classes < 2:
        raise DataError("a probe needs rows of at least two classes")
    if penalty == "l1" and classes > 2:
        raise DataError(f"penalty l1 tells two classes apart, not {classes}; take l2")

    def at(power: float) -> tuple[float, Probe]:
        model = LogisticRegression(C=10.0**power, **SOLVERS[penalty]).fit(features, labels)
        probe = Probe(model, 10.0**power)
        return probe.accuracy(held_out, held_out_labels), probe

    best = max(np.log10(GRID), key=lambda power: at(power)[0])
    low, high = best - 1, best + 1
    for _ in range(NUM_BISECTIONS):
        (weak, at_low), (strong, at_high) = at(low), at(high)
        middle = (low + high) / 2
        low, high, chosen = (middle, high, at_high) if weak < strong else (low, middle, at_low)
    return chosen


def draw_shots(
    labels: Labels, shots: int, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " shot"], Int64[np.ndarray, " held_out"]]:
    """Rows to fit on, ``shots`` of each class, and others to choose C by, at most 4 of each.

    Raises:
        DataError: a class with too few rows.
    """
    fit, choose = [], []
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        wanted = shots + min(shots, MAX_VALIDATION_SHOTS)
        if len(rows) < wanted:
            raise DataError(
                f"class {label} has {len(rows)} rows, and {shots} shots take {wanted}; lower shots"
            )
        fit.append(rows[:shots])
        choose.append(rows[shots:wanted])
    return np.concatenate(fit), np.concatenate(choose)
