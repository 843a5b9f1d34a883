"""Pictures made worse the way a variational autoencoder makes them worse.

The model is shown reconstructions and traversals later: blurred, ghosted, slightly moved. It has
to learn on their like, since no autoencoder is at hand while it is trained.
"""

import numpy as np
import torch
from jaxtyping import Float, Real, UInt8
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from gdrl.training.tiny_llava.scenes import BASE, Scenes

_BLURS, _BLUR_SHARES = (1, 3, 5), (0.4, 0.35, 0.25)
_MAX_SHIFT = 2
_RANK = 64
_NUM_FOR_BASIS = 1_500


class LinearAutoencoder:
    """Principal components of the pictures, a linear stand-in for a VAE's bottleneck.

    Rank 16 to 64 leaves the ghosts, double contours and lost details of a VAE at 10 to 20 latents.
    """

    def __init__(self, scenes: Scenes) -> None:
        pictures = to_pixels(scenes.pictures[:_NUM_FOR_BASIS, BASE]).flatten(1)
        self.mean = pictures.mean(dim=0)
        centred = pictures - self.mean
        # Through the small Gram matrix: 1,500 squared instead of 12,288 squared.
        _, vectors = torch.linalg.eigh(centred @ centred.T)
        largest = vectors[:, -_RANK:].flip(1)
        self.basis = functional.normalize(centred.T @ largest, dim=0)

    def reconstruct(
        self, pixels: Float[Tensor, "batch 3 64 64"], rank: int
    ) -> Float[Tensor, "batch 3 64 64"]:
        """Project on the first ``rank`` components and back."""
        basis = self.basis[:, :rank]
        codes = (pixels.flatten(1) - self.mean) @ basis
        return (self.mean + codes @ basis.T).view_as(pixels)


def to_pixels(
    pictures: Real[ndarray, "*batch 64 64 3"],
) -> Float[Tensor, "*batch 3 64 64"]:
    """Pictures (0 to 255) as the processor delivers them: in [-1, 1], channels first."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).float().movedim(-1, -3) / 127.5 - 1


def to_uint8(pixels: Float[Tensor, "*batch 3 64 64"]) -> UInt8[ndarray, "*batch 64 64 3"]:
    """The inverse of :func:`to_pixels`, rounded."""
    scaled = ((pixels.movedim(-3, -1) + 1) * 127.5).round().clamp(0, 255)
    return np.asarray(scaled.to(torch.uint8))


def degrade(
    pixels: Float[Tensor, "groups frames 3 64 64"],
    autoencoder: LinearAutoencoder,
    generator: np.random.Generator,
    max_ghost: float,
) -> Float[Tensor, "groups frames 3 64 64"]:
    """Blur, shift and ghost each group of frames, all frames of a group alike.

    ``max_ghost`` bounds the share of the linear reconstruction that is blended in; half of the
    calls blend none.
    """
    groups, frames = pixels.shape[:2]
    flat = pixels.flatten(0, 1)
    if max_ghost and generator.random() < 0.5:
        ghost = autoencoder.reconstruct(flat, int(generator.integers(16, _RANK + 1)))
        share = torch.from_numpy(generator.uniform(0, max_ghost, groups)).float()
        flat = torch.lerp(flat, ghost, share.repeat_interleave(frames).view(-1, 1, 1, 1))
    result = flat.view_as(pixels).clone()
    blurs = generator.choice(_BLURS, size=groups, p=_BLUR_SHARES)
    for size in _BLURS[1:]:
        chosen = torch.from_numpy(np.flatnonzero(blurs == size))
        if len(chosen):
            blurred = functional.avg_pool2d(
                result[chosen].flatten(0, 1), size, 1, size // 2, count_include_pad=False
            )
            result[chosen] = blurred.view(len(chosen), *pixels.shape[1:])
    shifts = generator.integers(-_MAX_SHIFT, _MAX_SHIFT + 1, (groups, 2))
    shifts *= generator.random((groups, 1)) < 0.5
    for group, (down, right) in enumerate(shifts.tolist()):
        if down or right:
            result[group] = _shift(result[group], down, right)
    return result


def _shift(
    pixels: Float[Tensor, "frames 3 64 64"], down: int, right: int
) -> Float[Tensor, "frames 3 64 64"]:
    """Move the picture, repeating its border."""
    m = _MAX_SHIFT
    padded = functional.pad(pixels, (m, m, m, m), mode="replicate")
    height, width = pixels.shape[-2:]
    return padded[..., m - down : m - down + height, m - right : m - right + width]
