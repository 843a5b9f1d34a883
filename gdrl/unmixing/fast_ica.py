"""FastICA (Hyvärinen 1999), parallel, log cosh, over blocks of rows that need not fit in memory.

Whitened rows are never stored: rotation and whitening fold into one matrix. Iterations start on a
few rows, taken evenly, and go on to more once they stand still there; the last ones see all rows,
where few remain to be made, since the fixed point is approached quadratically. That takes a start
of about as many rows as components squared; 512 components on 125,000 rows gain nothing by it.
"""

import numpy as np
from jaxtyping import Float

from gdrl.errors import TrainingFailed
from gdrl.unmixing.whitening import Features, Whitening, blocks, moments

FIRST_ROWS_PER_COMPONENT = 100
GROWTH = 8
"""From one level of rows to the next."""

FEW_ITERATIONS = 20
"""On a level that is only a start for the next."""

Rotation = Float[np.ndarray, "component component"]


def fit_rotation(
    features: Features, whitening: Whitening, seed: int, max_iterations: int, tolerance: float
) -> tuple[Rotation, int]:
    """Columns are the independent directions of whitened rows; and the iterations it took.

    Args:
        features: one row each.
        whitening: of the same rows.
        seed: of the first rotation and of nothing else.
        max_iterations: over all rows.
        tolerance: largest change of a direction, as 1 - |cosine|, that ends the last level.

    Raises:
        TrainingFailed: the directions still move after ``max_iterations`` passes over all rows.
    """
    rotation = random_rotation(whitening.matrix.shape[1], seed)
    iterations = 0
    for stride in strides(len(features), rotation.shape[0]):
        level = features[::stride]
        white = whitening if stride == 1 else _rewhitened(level, whitening)
        for _ in range(max_iterations if stride == 1 else FEW_ITERATIONS):
            previous, rotation = rotation, _step(level, white, rotation)
            iterations += 1
            change = _change(previous, rotation)
            # Few rows place the optimum no better than this.
            if change < max(tolerance, rotation.shape[0] / len(level) * (stride > 1)):
                break
        else:
            if stride == 1:
                raise _not_converged(rotation, max_iterations, change, tolerance)
    return rotation, iterations


def strides(num_rows: int, num_components: int) -> list[int]:
    """Every how manieth row each level looks at; the last looks at all."""
    enough = FIRST_ROWS_PER_COMPONENT * num_components
    found = [1]
    while num_rows // (found[0] * GROWTH) >= enough:
        found.insert(0, found[0] * GROWTH)
    return found


def random_rotation(num_components: int, seed: int) -> Rotation:
    """Uniform over orthogonal matrices: QR of a Gaussian matrix, with the signs of R's diagonal."""
    gaussian = np.random.default_rng(seed).standard_normal((num_components, num_components))
    rotation, triangle = np.linalg.qr(gaussian)
    signed: Rotation = rotation * np.sign(np.diag(triangle))
    return signed


def _rewhitened(level: Features, whitening: Whitening) -> Whitening:
    """All rows' whitening turned into that of some of them, by the least change.

    FastICA has a fixed point for white rows alone: 12,500 of 100,000 rows, white but for the luck
    of the draw, kept moving by 0.97 for 25 iterations, and by their own whitening settled in 14.
    """
    mean, covariance = moments(level)
    variances, axes = np.linalg.eigh(whitening.matrix.T @ covariance @ whitening.matrix)
    correction = (axes / np.sqrt(variances)) @ axes.T
    return Whitening(mean, whitening.matrix @ correction, whitening.explained)


def _step(features: Features, whitening: Whitening, rotation: Rotation) -> Rotation:
    """``E[z g(y)] - E[g'(y)] w`` for each direction w of whitened z, made orthogonal together."""
    folded = (whitening.matrix @ rotation).astype(features.dtype)
    mean = whitening.mean.astype(features.dtype)
    products = np.zeros(folded.shape)
    slopes = np.zeros(folded.shape[1])
    for block in blocks(features):
        centred = block - mean
        activity = centred @ folded
        np.tanh(activity, out=activity)
        products += centred.T @ activity
        slopes += len(block) - np.einsum("ij,ij->j", activity, activity, dtype=np.float64)
    moved = (whitening.matrix.T @ products - rotation * slopes) / len(features)
    return _orthogonal(moved)


def _orthogonal(matrix: Rotation) -> Rotation:
    """The nearest orthogonal matrix: no direction comes first."""
    left, _, right = np.linalg.svd(matrix)
    nearest: Rotation = left @ right
    return nearest


def _change(previous: Rotation, rotation: Rotation) -> float:
    cosines = np.abs(np.einsum("ij,ij->j", previous, rotation))
    return float(np.abs(1 - cosines).max())


def _not_converged(
    rotation: Rotation, max_iterations: int, change: float, tolerance: float
) -> TrainingFailed:
    return TrainingFailed(
        f"FastICA({rotation.shape[0]}) still moved by {change:.1e} after {max_iterations} "
        f"iterations (tolerance {tolerance:.0e}): at most one component may be Gaussian. Lower "
        "num_components, give it more rows, or raise max_iterations"
    )
