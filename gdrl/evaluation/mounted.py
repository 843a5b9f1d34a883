"""FID, KID and LPIPS: named, and refused until someone brings the weights that define them.

Each is a fixed network's number. Another network under the same name would produce a number that
looks comparable and is not, so there is no fallback.
"""

from pathlib import Path
from typing import NoReturn

from gdrl.errors import GdrlError

_INCEPTION = "pt_inception-2015-12-05-6726825d.pth"
_INCEPTION_SOURCE = "the release page of mseitzer/pytorch-fid, 91 MB"
_INSTEAD = "fd_efflite0 needs no download and must not be reported as FID"


def fid(weights: Path | None = None) -> NoReturn:
    """Fréchet Inception distance (Heusel et al., 2017): refused, with what to mount and to call.

    Raises GdrlError, always: the formula is :func:`gdrl.evaluation.frechet_distance`, the features
    must come from the mounted Inception network.
    """
    _refuse("FID", weights, _INCEPTION, _INCEPTION_SOURCE, "frechet_distance", _INSTEAD)


def kid(weights: Path | None = None) -> NoReturn:
    """Kernel Inception distance (Bińkowski et al., 2018): refused as :func:`fid`.

    The formula is :func:`gdrl.evaluation.kernel_distance`.
    """
    _refuse("KID", weights, _INCEPTION, _INCEPTION_SOURCE, "kernel_distance", _INSTEAD)


def lpips(weights: Path | None = None) -> NoReturn:
    """Learned perceptual similarity (Zhang et al., CVPR 2018): refused as :func:`fid`.

    The package ``lpips`` brings only the linear heads; the backbone is what has to be mounted.
    """
    _refuse(
        "LPIPS",
        weights,
        "alexnet-owt-7be5be79.pth",
        "torchvision's model page, 233 MB",
        "lpips.LPIPS(net='alex') of the package lpips",
        "ssim and psnr need no weights",
    )


def _refuse(
    metric: str, weights: Path | None, name: str, source: str, formula: str, instead: str
) -> NoReturn:
    if weights is None:
        raise GdrlError(
            f"{metric} is defined by a network whose weights are not part of this package: mount "
            f"{name} ({source}) and pass its path. {instead}"
        )
    if not weights.is_file():
        raise GdrlError(f"{metric}: there is no file {weights}; mount {name} ({source}) there")
    raise GdrlError(
        f"{metric}: {weights} is there, but its network is not built here: compute its features "
        f"outside and call {formula}"
    )
