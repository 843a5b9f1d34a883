"""How much of a picture survives encoding and decoding.

Images are (image, row, column, channel) in [0, 1].
"""

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from gdrl.evaluation.pixels import Images, check_scale

# Wang et al. 2004: an 11 x 11 Gaussian window of sigma 1.5; 3.5 sigma cuts it there.
_SIGMA = 1.5
_TRUNCATE = 3.5
_WINDOW_RADIUS = 5
_C1 = 0.01**2
_C2 = 0.03**2

Image = Float[np.ndarray, "row column channel"]


def mse(original: Images, reconstruction: Images) -> float:
    """``mean (x - y)²`` over images, pixels and channels.

    Pitfall: blind to what is small. A model can halve its error on skin and background and lose
    every smile, so report ``attribute_auroc`` beside it.

    Raises ValueError for different shapes or values outside [0, 1] (uint8 images, say).
    """
    return float(_squared_errors(original, reconstruction).mean())


def psnr(original: Images, reconstruction: Images) -> float:
    """Peak signal-to-noise ratio in dB, ``10 log10(1 / mse)`` per image, averaged over images.

    Infinite if any image is reproduced exactly.

    Pitfall: the mean of logarithms is not the logarithm of the mean: it exceeds
    10 log10(1 / mse of all).
    """
    with np.errstate(divide="ignore"):
        return float(np.mean(-10 * np.log10(_squared_errors(original, reconstruction))))


def ssim(original: Images, reconstruction: Images) -> float:
    """Structural similarity, mean over windows, channels and images; 1 for equal images.

    ``(2 μx μy + C1)(2 σxy + C2) / ((μx² + μy² + C1)(σx² + σy² + C2))``. Source: Wang et al., IEEE
    TIP 2004, eq. 13, with its Gaussian window, K1 = 0.01, K2 = 0.03, dynamic range 1, windows that
    lie inside the image.

    Pitfall: numbers hang on the window. These are scikit-image's with ``gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False``; its *default*, a uniform 7 x 7, gives others.

    Raises ValueError as :func:`mse`, and for images smaller than the window of 11 pixels.
    """
    _check(original, reconstruction)
    if min(original.shape[1:3]) < 2 * _WINDOW_RADIUS + 1:
        raise ValueError(f"SSIM's window of 11 pixels does not fit images of {original.shape[1:3]}")
    pairs = zip(original.astype(np.float64), reconstruction.astype(np.float64), strict=True)
    return float(np.mean([_ssim(x, y) for x, y in pairs]))


def _ssim(x: Image, y: Image) -> float:
    mean_x, mean_y = _windowed(x), _windowed(y)
    variances = _windowed(x * x) - mean_x**2 + _windowed(y * y) - mean_y**2
    covariance = _windowed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variances + _C2)
    return float((luminance * structure).mean())


def _windowed(image: Image) -> Float[np.ndarray, "inner_row inner_column channel"]:
    """Gaussian-weighted means of the windows that lie inside the image."""
    inside = slice(_WINDOW_RADIUS, -_WINDOW_RADIUS)
    means: Image = gaussian_filter(image, (_SIGMA, _SIGMA, 0), truncate=_TRUNCATE)
    return means[inside, inside]


def _squared_errors(original: Images, reconstruction: Images) -> Float[np.ndarray, " image"]:
    _check(original, reconstruction)
    difference = original.astype(np.float64) - reconstruction
    errors: Float[np.ndarray, " image"] = (difference**2).mean(axis=(1, 2, 3))
    return errors


def _check(original: Images, reconstruction: Images) -> None:
    if original.shape != reconstruction.shape or original.ndim != 4 or not original.size:
        raise ValueError(f"cannot compare images {original.shape} and {reconstruction.shape}")
    check_scale(original)
    check_scale(reconstruction)
