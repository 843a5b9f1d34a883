"""Fit an affine map from features to components, apply it, undo it, compare two of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from gdrl.unmixing.fast_ica import Rotation, fit_rotation, random_rotation
from gdrl.unmixing.varimax import varimax
from gdrl.unmixing.whitening import Features, Whitening, fit_whitening

Method = Literal["ica", "pca", "varimax", "random_rotation"]

MAX_ITERATIONS = 500
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Unmixing:
    """``components = (features - mean) @ whitening @ rotation``, each of variance 1.

    Variance 1 and mean 0 on the rows that it was fitted on; elsewhere they need not be.
    """

    whitening: Whitening
    rotation: Rotation
    iterations: int
    """Passes of FastICA over rows, on all levels; 0 for the other methods."""

    def transform(self, features: Features) -> Float[np.ndarray, "row component"]:
        """Components of features."""
        matrix = self.whitening.matrix @ self.rotation
        components: Float[np.ndarray, "row component"] = (features - self.whitening.mean) @ matrix
        return components

    def inverse(self, components: Float[np.ndarray, "row component"]) -> Features:
        """The features that have these components, at the mean in all other directions."""
        matrix = np.linalg.pinv(self.whitening.matrix @ self.rotation)
        features: Features = components @ matrix + self.whitening.mean
        return features


def fit_unmixing(
    features: Features,
    num_components: int,
    method: Method = "ica",
    *,
    seed: int = 0,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> Unmixing:
    """Whiten onto the strongest ``num_components`` principal directions, then rotate.

    ``ica`` rotates by FastICA, ``pca`` not at all, ``varimax`` for simple loadings, and
    ``random_rotation`` is the control of all three. There is no separate PCA(p) before FastICA(k):
    FastICA whitens onto the k strongest directions itself, and for any p >= k these are the same.

    Args:
        features: the rows of one split, which the caller names; not L2-normalised, since that makes
            independent components dependent.
        num_components: how many.
        method: the rotation.
        seed: of the random rotation, with which FastICA begins.
        max_iterations: of FastICA over all rows, or of varimax.
        tolerance: when to stop.

    Raises:
        DataError: fewer directions vary, or a value is not finite.
        TrainingFailed: FastICA or varimax did not converge.
    """
    whitening = fit_whitening(features, num_components)
    if method == "ica":
        rotation, iterations = fit_rotation(features, whitening, seed, max_iterations, tolerance)
    else:
        rotation = _control(whitening, method, seed, max_iterations, tolerance)
        iterations = 0
    return Unmixing(whitening, rotation, iterations)


def _control(
    whitening: Whitening, method: Method, seed: int, max_iterations: int, tolerance: float
) -> Rotation:
    """The rotations that FastICA must beat."""
    num_components = whitening.matrix.shape[1]
    if method == "pca":
        return np.eye(num_components)
    if method == "random_rotation":
        return random_rotation(num_components, seed)
    return varimax(_loadings(whitening), max_iterations, tolerance)


def _loadings(whitening: Whitening) -> Float[np.ndarray, "feature component"]:
    """Principal directions times their standard deviations; the whitening divides by them."""
    loadings: Float[np.ndarray, "feature component"] = whitening.matrix / (whitening.matrix**2).sum(
        axis=0
    )
    return loadings


def stability(fits: Sequence[Unmixing]) -> Float[np.ndarray, " component"]:
    """How surely each component of the first fit is found again by the others, in [0, 1].

    Mean over the others of |correlation| with the component that it is matched to (one-to-one,
    Hungarian). The fits are of the same rows with other seeds: they share the whitening, so
    correlations are the cosines of their directions.
    """
    reference, *others = fits
    matched = []
    for other in others:
        cosines = np.abs(reference.rotation.T @ other.rotation)
        rows, columns = linear_sum_assignment(cosines, maximize=True)
        matched.append(cosines[rows, columns])
    found: Float[np.ndarray, " component"] = np.mean(matched, axis=0)
    return found
