"""Pixel metrics on known errors, and SSIM against scikit-image."""

import math

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from skimage.metrics import structural_similarity

from gdrl.evaluation import mse, psnr, ssim

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 32, 24, 3)).astype(np.float32)


def test_equal_images(images: np.ndarray) -> None:
    assert mse(images, images) == 0
    assert psnr(images, images) == math.inf
    assert ssim(images, images) == pytest.approx(1)


def test_a_constant_error_by_hand() -> None:
    black, gray = np.zeros((2, 16, 16, 3)), np.full((2, 16, 16, 3), 0.1)
    assert mse(black, gray) == pytest.approx(0.01)
    assert psnr(black, gray) == pytest.approx(20)
    assert ssim(black, gray) == pytest.approx(0.01**2 / (0.1**2 + 0.01**2))


def test_psnr_averages_over_images_not_over_errors() -> None:
    black = np.zeros((2, 16, 16, 1))
    gray = np.stack([np.full((16, 16, 1), 0.1), np.full((16, 16, 1), 0.01)])
    assert psnr(black, gray) == pytest.approx(30)
    assert -10 * math.log10(mse(black, gray)) == pytest.approx(22.97, abs=0.01)


def test_ssim_equals_scikit_image(images: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(size=images.shape)
    changed = np.clip(images + 0.1 * noise, 0, 1).astype(np.float32)
    theirs = [
        structural_similarity(
            one.astype(np.float64),
            other.astype(np.float64),
            data_range=1,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for one, other in zip(images, changed, strict=True)
    ]
    assert ssim(images, changed) == pytest.approx(np.mean(theirs), abs=1e-6)


def test_an_inverted_image_is_structurally_opposite(images: np.ndarray) -> None:
    assert ssim(images, 1 - images) < -0.5


@pytest.mark.parametrize("metric", [mse, psnr, ssim])
def test_wrong_scale_or_shape_is_refused(metric: object, images: np.ndarray) -> None:
    assert callable(metric)
    with pytest.raises(ValueError, match="divide uint8 images by 255"):
        metric(images * 255, images)
    with pytest.raises(REFUSED):
        metric(images[:2], images)


def test_images_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        ssim(np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8, 3)))
