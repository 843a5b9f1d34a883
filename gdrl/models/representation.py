"""A trained model as people and stages use it: uint8 images and float codes, no tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from gdrl.models.beta_vae import BetaVae
from gdrl.models.graph_vae import GraphVae
from gdrl.models.storage import load_model

# 256 images of the first layer's activations take 34 MB.
BATCH = 256


class Representation:
    """A β-VAE or a DisGraph behind four verbs: encode, decode, traverse, intervene."""

    def __init__(self, model: BetaVae, device: str = "cpu") -> None:
        self.model = model.eval().to(device)
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Representation:
        """Read a ``vae``, ``components`` or ``disgraph`` artifact.

        Raises:
            ArtifactMissing, ArtifactCorrupt: there is none that can be used.
        """
        return cls(load_model(folder), device)

    def encode(self, pixels: UInt8[ndarray, "n size size 3"]) -> Float[ndarray, "n latent"]:
        """Posterior means."""
        return self._in_batches(partial(_posterior_mean, self.model), torch.from_numpy(pixels))

    def decode(self, codes: Float[ndarray, "n latent"]) -> UInt8[ndarray, "n size size 3"]:
        """Images of the codes."""
        return _to_pixels(self._in_batches(self.model.decode, self._floats(codes)))

    def reconstruct(
        self, pixels: UInt8[ndarray, "n size size 3"]
    ) -> UInt8[ndarray, "n size size 3"]:
        """The images as the model keeps them: decoded posterior means."""
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
        """
        column = codes[:, latent]
        offsets = np.linspace(-num_deviations, num_deviations, num_frames)
        frames = np.repeat(codes[:num_faces, None], num_frames, axis=1)
        frames[:, :, latent] = column.mean() + offsets * column.std()
        strips = self.decode(frames.reshape(-1, codes.shape[1]))
        return strips.reshape(len(frames), num_frames, *strips.shape[1:])

    def set_latents(
        self, codes: Float[ndarray, "n latent"], values: Mapping[int, float], propagate: bool
    ) -> Float[ndarray, "n latent"]:
        """Codes with some latents set; ``propagate`` lets the graph move the others.

        Raises TypeError for a model without a graph.
        """
        if not isinstance(self.model, GraphVae):
            raise TypeError(f"a {self.model.kind} has no graph to intervene through")
        with torch.no_grad():
            moved = self.model.set_latents(self._floats(codes), values, propagate)
        return moved.cpu().numpy()

    def _in_batches(self, function: Callable[[Tensor], Tensor], rows: Tensor) -> ndarray:
        with torch.no_grad():
            parts = [function(part.to(self.device)).cpu().numpy() for part in rows.split(BATCH)]
        return np.concatenate(parts)

    def _floats(self, codes: Float[ndarray, "n latent"]) -> Float[Tensor, "n latent"]:
        return torch.from_numpy(np.ascontiguousarray(codes, dtype=np.float32)).to(self.device)


def _posterior_mean(
    model: BetaVae, pixels: UInt8[Tensor, "n size size 3"]
) -> Float[Tensor, "n latent"]:
    return model.posterior(pixels.permute(0, 3, 1, 2).float() / 255)[0]


def _to_pixels(images: Float[ndarray, "n 3 size size"]) -> UInt8[ndarray, "n size size 3"]:
    return np.ascontiguousarray((images.transpose(0, 2, 3, 1) * 255).round().astype(np.uint8))
