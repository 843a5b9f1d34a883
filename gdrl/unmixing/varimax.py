"""Varimax (Kaiser 1958): the rotation of principal loadings that makes their squares vary most."""

import numpy as np
from jaxtyping import Float

from gdrl.errors import TrainingFailed


def varimax(
    loadings: Float[np.ndarray, "feature component"], max_iterations: int, tolerance: float
) -> Float[np.ndarray, "component component"]:
    """Rotation R for which the columns of ``loadings @ R`` have few large entries.

    Raises:
        TrainingFailed: the criterion still grows after ``max_iterations``.
    """
    rotation: Float[np.ndarray, "component component"] = np.eye(loadings.shape[1])
    criterion = 0.0
    for _ in range(max_iterations):
        rotated = loadings @ rotation
        gradient = loadings.T @ (rotated**3 - rotated * (rotated**2).mean(axis=0))
        left, values, right = np.linalg.svd(gradient)
        rotation = np.asarray(left @ right)
        if values.sum() < criterion * (1 + tolerance):
            return rotation
        criterion = values.sum()
    raise TrainingFailed(
        f"varimax of {loadings.shape[1]} components still improved after {max_iterations} "
        "iterations; lower num_components or raise max_iterations"
    )
