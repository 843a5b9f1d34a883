"""FID, KID and LPIPS: from the network that defines them, once someone mounts its file.

Each is a fixed network's number. Another network under the same name would produce a number that
looks comparable and is not, so there is no fallback. The files are the TorchScript modules that
StyleGAN2-ADA and StyleGAN3 score with, under NVIDIA's source code licence (research only). Loading
one runs the code in it: see :mod:`gdrl.evaluation.torchscript`.

The formulas and the calling convention are tested on small stand-in modules. No value was checked
against a published one: the files are not part of this package.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gdrl.evaluation.frechet import frechet_distance, kernel_distance
from gdrl.evaluation.pixels import check_rgb
from gdrl.evaluation.torchscript import Network, batches, features, load

# Bińkowski et al. average KID over subsets; the numbers are those of their code and of StyleGAN's.
_NUM_SUBSETS, _SUBSET_SIZE = 100, 1_000
_VGG_MIN_SIDE = 16  # VGG16 halves the picture four times

_FID = Network(
    "FID",
    "inception-2015-12-05.pt",
    (("return_features", True),),
    2048,
    "fd_efflite0 needs no download and must not be reported as FID",
)
_KID = replace(_FID, metric="KID")
_LPIPS = Network(
    "LPIPS",
    "vgg16.pt",
    (("resize_images", False), ("return_lpips", True)),
    None,
    "ssim and psnr need no weights",
)


def fid(
    real: Float[np.ndarray, "m row column 3"],
    fake: Float[np.ndarray, "n row column 3"],
    weights: str | Path | None = None,
) -> float:
    """Fréchet Inception distance: :func:`frechet_distance` on Inception's 2,048 pooled features.

    Images are RGB in [0, 1], rounded to the 256 levels of a file and resized to 299 x 299 by the
    network. Source: Heusel et al., NeurIPS 2017. ``weights``: the path of
    ``inception-2015-12-05.pt``, the 2015 TensorFlow network in TorchScript; a file that you trust.

    Pitfalls: biased upwards for few images, published numbers take 50,000 and fewer than 2,049
    leave a covariance singular; and resizing or compressing images by another rule beforehand moves
    it (Parmar et al., CVPR 2022).

    Raises GdrlError without the file or with another, ValueError for images that are not RGB in
    [0, 1] or fewer than two.
    """
    return frechet_distance(*_inception(_FID, weights, real, fake))


def kid(
    real: Float[np.ndarray, "m row column 3"],
    fake: Float[np.ndarray, "n row column 3"],
    weights: str | Path | None = None,
    *,
    seed: int = 0,
) -> float:
    """Kernel Inception distance: :func:`kernel_distance` on the features of :func:`fid`.

    Source: Bińkowski et al., ICLR 2018; as theirs, the mean over 100 random subsets of 1,000 of
    each, or of as many as the smaller set has. ``weights``: as for :func:`fid`.

    Pitfall: often reported times 1,000; unbiased, hence negative about half the time for equal
    distributions.

    Raises as :func:`fid`.
    """
    x, y = _inception(_KID, weights, real, fake)
    size = min(len(x), len(y), _SUBSET_SIZE)
    if size == max(len(x), len(y)):
        return kernel_distance(x, y)
    rng = np.random.default_rng(seed)
    values = [
        kernel_distance(*(z[rng.permutation(len(z))[:size]] for z in (x, y)))
        for _ in range(_NUM_SUBSETS)
    ]
    return float(np.mean(values))


def lpips(
    original: Float[np.ndarray, "image row column 3"],
    reconstruction: Float[np.ndarray, "image row column 3"],
    weights: str | Path | None = None,
) -> float:
    """Learned perceptual similarity of pairs, mean over images; 0 for equal ones, lower is nearer.

    ``|φ(x) - φ(y)|²``, φ VGG16's normalised activations with the learned weights folded in; images
    are RGB in [0, 1] at their own size. Source: Zhang et al., CVPR 2018. ``weights``: the path of
    ``vgg16.pt``, in TorchScript with these features; a file that you trust.

    Pitfall: this is the VGG variant. Many papers report AlexNet's, whose numbers are others; and a
    picture enlarged beforehand scores differently from itself.

    Raises GdrlError without the file or with another, ValueError for images that do not pair up,
    are not RGB in [0, 1] or have a side of fewer than 16 pixels.
    """
    if original.shape != reconstruction.shape:
        raise ValueError(f"cannot compare images {original.shape} and {reconstruction.shape}")
    check_rgb(original)
    check_rgb(reconstruction)
    if min(original.shape[1:3]) < _VGG_MIN_SIDE:
        raise ValueError(f"VGG16 needs {_VGG_MIN_SIDE} pixels a side, not {original.shape[1:3]}")
    module = load(_LPIPS, weights)
    distances = []
    for batch in batches(len(original)):
        seen = [
            features(_LPIPS, module, 255 * images[batch].astype(np.float32))
            for images in (original, reconstruction)
        ]
        distances.append(((seen[0] - seen[1]) ** 2).sum(axis=1))
    return float(np.concatenate(distances).mean())


def _inception(
    network: Network,
    weights: str | Path | None,
    real: Float[np.ndarray, "m row column 3"],
    fake: Float[np.ndarray, "n row column 3"],
) -> tuple[Float[np.ndarray, "m feature"], Float[np.ndarray, "n feature"]]:
    check_rgb(real)
    check_rgb(fake)
    module = load(network, weights)
    seen = []
    for images in (real, fake):
        parts = [
            features(network, module, np.rint(255 * images[batch]).astype(np.uint8))
            for batch in batches(len(images))
        ]
        seen.append(np.concatenate(parts))
    return seen[0], seen[1]
