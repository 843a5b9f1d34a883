"""A trained model as people and stages use it: uint8 images and float codes, no tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from gdrl.errors import ConfigError
from gdrl.models.beta_vae import BetaVae
from gdrl.models.storage import load_model

# 256 images of the first layer's activations take 34 MB.
BATCH = 256

Images: TypeAlias = UInt8[ndarray, "n size size 3"] | Sequence[UInt8[ndarray, "size size 3"]]
"""RGB as one array, of any strides, or a list of squares."""


class Representation:
    """A β-VAE or a DisGraph as encode, decode, reconstruct and traverse.

    Raises ConfigError for a ``device`` that torch cannot use here.
    """

    def __init__(self, model: BetaVae, device: str = "cpu") -> None:
        try:
            torch.empty(0, device=device)
        except (AssertionError, RuntimeError) as error:  # the former of builds without CUDA
            reason = str(error).partition("\n")[0]
            raise ConfigError(f"device = {device!r} cannot be used here: {reason}") from error
        self.model = model.eval().to(device)
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Representation:
        """Read a ``vae``, ``components`` or ``disgraph`` artifact.

        Raises:
            ArtifactMissing, ArtifactCorrupt: there is none that can be used.
            ConfigError: torch cannot use ``device`` here.
        """
        return cls(load_model(folder), device)

    def encode(self, pixels: Images) -> Float[ndarray, "n latent"]:
        """Posterior means, float32.

        Raises ValueError for anything but uint8 RGB of the model's size.
        """
        size = self.model.image_size
        hint = "; gdrl.data.decoding.centre_square makes such squares"
        checked = _checked("images", pixels, np.uint8, (size, size, 3), hint)
        return self._in_batches(partial(_posterior_mean, self.model), checked)

    def decode(self, codes: Float[ndarray, "n latent"]) -> UInt8[ndarray, "n size size 3"]:
        """Images of the codes; raises as :meth:`check_codes` does."""
        return _to_pixels(self._in_batches(self.model.decode, self.check_codes(codes)))

    def check_codes(self, codes: Float[ndarray, "n latent"]) -> Float[ndarray, "n latent"]:
        """The codes in float32, as the model takes them.

        Raises ValueError for anything but finite floats, as many a row as the model has latents.
        """
        checked = _checked("codes", codes, np.floating, (self.model.latent_dim,))
        floats = checked.astype(np.float32, copy=False)
        if not np.isfinite(floats).all():
            raise ValueError("codes hold a number that is not finite")
        return floats

    def reconstruct(self, pixels: Images) -> UInt8[ndarray, "n size size 3"]:
        """The images as the model keeps them: decoded posterior means.

        Raises as :meth:`encode` does.
        """
        return self.decode(self.encode(pixels))

    def traverse(
        self,
        codes: Float[ndarray, "n latent"],
        latent: int,
        num_faces: int,
        num_frames: int,
        num_deviations: float,
    ) -> UInt8[ndarray, "faces frames size size 3"]:
        """Move one latent and hold the others, for the first ``num_faces`` rows of ``codes``.

        Frames run from ``-num_deviations`` to ``+num_deviations`` standard deviations of ``codes``
        around their mean: the latent's own spread over real images, not the prior's.

        Raises as :meth:`check_codes` does.
        """
        codes = self.check_codes(codes)
        column = codes[:, latent]
        offsets = np.linspace(-num_deviations, num_deviations, num_frames)
        frames = np.repeat(codes[:num_faces, None], num_frames, axis=1)
        frames[:, :, latent] = column.mean() + offsets * column.std()
        strips = self.decode(frames.reshape(-1, codes.shape[1]))
        return strips.reshape(len(frames), num_frames, *strips.shape[1:])

    def _in_batches(self, function: Callable[[Tensor], Tensor], rows: ndarray) -> ndarray:
        starts = range(0, max(len(rows), 1), BATCH)  # one for no rows too: the result has a shape
        with torch.no_grad():
            parts = [function(self._tensor(rows[i : i + BATCH])).cpu().numpy() for i in starts]
        return np.concatenate(parts)

    def _tensor(self, rows: ndarray) -> Tensor:
        """Copied where torch takes no such memory: backwards, or read-only."""
        return torch.from_numpy(np.require(rows, requirements=["C", "W"])).to(self.device)


def _checked(
    what: str, rows: object, kind: type[np.generic], shape: tuple[int, ...], hint: str = ""
) -> ndarray:
    wanted = f"{what} must be {kind.__name__} ({', '.join(map(str, ('n', *shape)))})"
    try:
        found = np.asarray(rows)
    except ValueError as error:
        raise ValueError(f"{wanted}, not rows of different shapes{hint}") from error
    if not np.issubdtype(found.dtype, kind) or found.shape[1:] != shape:
        raise ValueError(f"{wanted}, not {found.dtype} {found.shape}{hint}")
    return found


def _posterior_mean(
    model: BetaVae, pixels: UInt8[Tensor, "n size size 3"]
) -> Float[Tensor, "n latent"]:
    return model.posterior(pixels.permute(0, 3, 1, 2).float() / 255)[0]


def _to_pixels(images: Float[ndarray, "n 3 size size"]) -> UInt8[ndarray, "n size size 3"]:
    return np.ascontiguousarray((images.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8))
