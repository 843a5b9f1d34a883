"""FID, KID and LPIPS through files of the published ones' calling convention, at a size to check.

The real files are not part of this package: what is tested is the convention, the pixels that the
network gets, and the arithmetic on what it answers. No value here is one of Inception or VGG16.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from gdrl.errors import GdrlError
from gdrl.evaluation import fid, frechet_distance, kernel_distance, kid, lpips

Metric = Callable[..., float]


class TinyInception(torch.nn.Module):
    """Called as inception-2015-12-05.pt: uint8 pixels in, 2,048 features a picture out."""

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert img.dtype == torch.uint8
        colors = img.to(torch.float32).mean(dim=[2, 3])
        if not return_features:
            return colors
        return torch.cat([colors, torch.zeros(img.shape[0], 2045)], dim=1)


class TinyVgg(torch.nn.Module):
    """Called as vgg16.pt: pixels from 0 to 255 in, features whose squared distance is LPIPS out."""

    def forward(
        self, img: torch.Tensor, resize_images: bool = True, return_lpips: bool = False
    ) -> torch.Tensor:
        assert not resize_images
        assert return_lpips
        return img.flatten(start_dim=1) / 255


class ClassifierOnly(torch.nn.Module):
    """TorchScript of another kind: no features to return."""

    def forward(self, img: torch.Tensor) -> torch.Tensor:
        return img


class SixtyFour(torch.nn.Module):
    """Features of another width."""

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return torch.full((img.shape[0], 64), float(return_features))


class Maps(torch.nn.Module):
    """Feature maps, not features."""

    def forward(
        self, img: torch.Tensor, resize_images: bool = True, return_lpips: bool = False
    ) -> torch.Tensor:
        assert return_lpips
        assert not resize_images
        return img


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for module in (TinyInception(), TinyVgg(), ClassifierOnly(), SixtyFour(), Maps()):
        torch.jit.script(module).save(folder / f"{type(module).__name__}.pt")
    torch.save({"weight": torch.zeros(3)}, folder / "state_dict.pth")
    (folder / "page.html").write_text("<html>404</html>")
    return folder


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(0).random((40, 16, 16, 3)).astype(np.float32)


def colors(images: np.ndarray) -> np.ndarray:
    return np.rint(255 * images).mean(axis=(1, 2))


def test_fid_is_the_frechet_distance_of_the_networks_features(
    mounted: Path, pictures: np.ndarray
) -> None:
    weights, darker = mounted / "TinyInception.pt", pictures / 2
    assert fid(pictures, pictures, weights) == pytest.approx(0, abs=1e-3)
    expected = frechet_distance(colors(pictures), colors(darker))
    assert fid(pictures, darker, str(weights)) == pytest.approx(expected, rel=1e-4)


def test_kid_is_the_kernel_distance_of_the_networks_features(
    mounted: Path, pictures: np.ndarray
) -> None:
    features = [
        np.hstack([colors(images), np.zeros((40, 2045))]) for images in (pictures, pictures / 2)
    ]
    expected = kernel_distance(*features)
    assert kid(pictures, pictures / 2, mounted / "TinyInception.pt") == pytest.approx(expected)


def test_kid_of_unequal_sets_averages_over_subsets(mounted: Path, pictures: np.ndarray) -> None:
    weights, darker = mounted / "TinyInception.pt", pictures[:20] / 2
    features = [
        np.hstack([colors(images), np.zeros((len(images), 2045))]) for images in (pictures, darker)
    ]
    score = kid(pictures, darker, weights, seed=1)
    assert score == pytest.approx(kernel_distance(*features), rel=0.02)
    assert score == kid(pictures, darker, weights, seed=1) != kid(pictures, darker, weights)


def test_lpips_is_the_squared_distance_of_each_pair(mounted: Path) -> None:
    weights, black = mounted / "TinyVgg.pt", np.zeros((40, 16, 16, 3))
    gray = black.copy()
    gray[:20] = 0.5  # half of the pairs are equal
    assert lpips(black, black, weights) == 0
    assert lpips(black, gray, weights) == pytest.approx(16 * 16 * 3 * 0.25 / 2)


@pytest.mark.parametrize(
    ("metric", "name", "file"),
    [
        (fid, "FID", "inception-2015-12-05.pt"),
        (kid, "KID", "inception-2015-12-05.pt"),
        (lpips, "LPIPS", "vgg16.pt"),
    ],
)
def test_without_the_right_file_each_names_what_to_mount(
    metric: Metric, name: str, file: str, mounted: Path, pictures: np.ndarray
) -> None:
    with pytest.raises(GdrlError, match=rf"{name} is defined by.*mount {file}"):
        metric(pictures, pictures)
    with pytest.raises(GdrlError, match=rf"{name}: there is no file .*missing.pt; mount {file}"):
        metric(pictures, pictures, mounted / "missing.pt")
    for other in ("state_dict.pth", "page.html"):
        with pytest.raises(GdrlError, match=rf"{other} is not a TorchScript module.*mount {file}"):
            metric(pictures, pictures, mounted / other)
    with pytest.raises(GdrlError, match=rf"ClassifierOnly.pt takes no argument .*mount {file}"):
        metric(pictures, pictures, mounted / "ClassifierOnly.pt")


def test_features_of_another_shape_are_refused(mounted: Path, pictures: np.ndarray) -> None:
    with pytest.raises(GdrlError, match=r"shape \(32, 64\), not \(32, 2048\)"):
        fid(pictures, pictures, mounted / "SixtyFour.pt")
    with pytest.raises(GdrlError, match=r"shape \(32, 3, 16, 16\), not \(32, features\)"):
        lpips(pictures, pictures, mounted / "Maps.pt")


def test_pictures_that_cannot_be_scored_are_refused(mounted: Path, pictures: np.ndarray) -> None:
    for metric, weights in ((fid, "TinyInception.pt"), (kid, "TinyInception.pt")):
        with pytest.raises(ValueError, match="divide uint8 images by 255"):
            metric(255 * pictures, pictures, mounted / weights)
        with pytest.raises(ValueError, match="two images"):
            metric(pictures[:1], pictures, mounted / weights)
    vgg = mounted / "TinyVgg.pt"
    with pytest.raises(ValueError, match="divide uint8 images by 255"):
        lpips(255 * pictures, pictures, vgg)
    with pytest.raises(ValueError, match="16 pixels a side"):
        lpips(pictures[:, :8], pictures[:, :8], vgg)


def test_no_other_metric_loads_torch() -> None:
    code = (
        "import sys; import numpy as np; from gdrl import evaluation; "
        "codes = np.random.default_rng(0).normal(size=(300, 3)); "
        "evaluation.evaluate(codes, (codes[:, :2] > 0).astype(int), fast=True); "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
