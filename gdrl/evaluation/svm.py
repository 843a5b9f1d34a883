"""The linear SVM of one feature, to its optimum: what SAP asks for a few hundred times.

scikit-learn's ``LinearSVC(C=0.01, class_weight="balanced")``: per class one against the rest,
``(w² + b²) / 2 + Σ C_i max(0, 1 - y_i (w x_i + b))²``, the positive side weighted by
``n / (K n_class)`` and, with more than two classes, the rest by 1 (liblinear). In one dimension the
images within the margin are a run of the sorted values, so that a Newton step needs three
cumulative sums looked up at the run's end, whatever the number of images.
"""

import numpy as np
from jaxtyping import Float, Int

_C = 0.01
_MAX_STEPS = 100
_MAX_HALVINGS = 30
_TOLERANCE = 1e-10


def accuracy_of_one_feature(
    fit: Float[np.ndarray, " image"],
    fit_classes: Int[np.ndarray, " image"],
    held_out: Float[np.ndarray, " other"],
    held_out_classes: Int[np.ndarray, " other"],
) -> float:
    """Share of the held-out images whose class the SVM tells from the feature."""
    labels, classes = np.unique(fit_classes, return_inverse=True)
    problem = _Problem(fit.astype(np.float64), classes)
    slope, offset = problem.solve()
    margins = np.outer(held_out, slope) + offset
    told = (margins[:, 0] > 0).astype(np.int64) if len(labels) == 2 else margins.argmax(axis=1)
    return float((labels[told] == held_out_classes).mean())


class _Problem:
    """One against the rest for every class; for two classes, the second against the first."""

    def __init__(
        self, values: Float[np.ndarray, " image"], classes: Int[np.ndarray, " image"]
    ) -> None:
        order = np.argsort(values, kind="stable")
        self._values = values[order]
        counts = np.bincount(classes)
        balanced = _C * len(values) / (len(counts) * counts)
        is_binary = len(counts) == 2
        targets = np.arange(1, 2) if is_binary else np.arange(len(counts))
        moments = np.stack([self._values**0, self._values, self._values**2], axis=1)
        positive = classes[order][:, None] == targets
        self._weight = {1: balanced[targets], -1: balanced[:1] if is_binary else np.full(1, _C)}
        # Sums of 1, x, x² over the first images: the positive ones, and all.
        self._positive = _cumulative(positive[:, :, None] * moments[:, None])
        self._all = _cumulative(moments)
        self._tasks = np.arange(len(targets))

    def solve(self) -> tuple[Float[np.ndarray, " task"], Float[np.ndarray, " task"]]:
        """Slope and offset of each task, by Newton steps that are halved until they improve."""
        w = np.zeros((len(self._tasks), 2))
        loss, gradient, hessian = self._evaluate(w)
        for _ in range(_MAX_STEPS):
            step = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
            length = np.ones((len(w), 1))
            for _ in range(_MAX_HALVINGS):
                new_loss = self._evaluate(w + length * step)[0]
                worse = new_loss > loss
                if not worse.any():
                    break
                length[worse] /= 2
            w = np.where(worse[:, None], w, w + length * step)
            if (loss - new_loss <= _TOLERANCE * loss).all():
                break
            loss, gradient, hessian = self._evaluate(w)
        return w[:, 0], w[:, 1]

    def _evaluate(
        self, w: Float[np.ndarray, "task two"]
    ) -> tuple[
        Float[np.ndarray, " task"], Float[np.ndarray, "task two"], Float[np.ndarray, "task two two"]
    ]:
        slope, offset = w.T
        loss, gradient = (w**2).sum(axis=1) / 2, w.copy()
        hessian = np.tile(np.eye(2), (len(w), 1, 1))
        for sign in (1, -1):
            number, first, second = self._within_margin(sign, slope, offset).T
            weight = self._weight[sign]
            # Sums of (w x + b - y) and its products with x over the images within the margin.
            miss = slope * first + (offset - sign) * number
            miss_x = slope * second + (offset - sign) * first
            loss += weight * (slope * miss_x + (offset - sign) * miss)
            gradient += 2 * (weight * np.stack([miss_x, miss])).T
            moments = np.stack([second, first, first, number], axis=-1).reshape(-1, 2, 2)
            hessian += 2 * weight[:, None, None] * moments
        return loss, gradient, hessian

    def _within_margin(
        self, sign: int, slope: Float[np.ndarray, " task"], offset: Float[np.ndarray, " task"]
    ) -> Float[np.ndarray, "task moment"]:
        """Moments of the images of one side with ``sign (w x + b) < 1``."""
        rise = sign * slope
        room = 1 - sign * offset
        flat = rise == 0
        edge = np.divide(room, rise, out=np.where(room > 0, np.inf, -np.inf), where=~flat)
        end = np.searchsorted(self._values, edge)
        before, total = self._positive[end, self._tasks], self._positive[-1]
        if sign < 0:
            before, total = self._all[end] - before, self._all[-1] - total
        moments: Float[np.ndarray, "task moment"] = np.where(
            ((rise > 0) | flat)[:, None], before, total - before
        )
        return moments


def _cumulative(
    terms: Float[np.ndarray, "image *moments"],
) -> Float[np.ndarray, "image_plus_one *moments"]:
    sums = np.zeros((len(terms) + 1, *terms.shape[1:]))
    np.cumsum(terms, axis=0, out=sums[1:])
    return sums
