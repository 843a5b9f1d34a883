"""The residual pair for 64, 128 and 256 pixels: one block for every halving of the picture.

Blocks follow He et al. (2016, pre-activation) without normalisation, whose batch statistics would
make results depend on the number of workers. In its place each branch ends in a convolution that
starts at 0, so that an untrained pair is a chain of skips (Zhang et al. 2019, Fixup).
"""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from gdrl.models.encoder import HEAD_STD, HIDDEN_DIM, initialise

STEM = 32
WIDEST = 128
SMALLEST = 4
"""Side of the last feature map, in pixels."""


class ResidualEncoder(nn.Module):
    """Images in [0, 1] to the mean and log-variance of a diagonal Gaussian over latents."""

    def __init__(self, latent_dim: int, image_size: int) -> None:
        super().__init__()
        widths = _widths(image_size)
        blocks = [_Block(*pair, scale=0.5) for pair in pairwise(widths)]
        self.features = nn.Sequential(
            nn.Conv2d(3, STEM, 4, stride=2, padding=1), *blocks, nn.ReLU(), nn.Flatten()
        )
        self.hidden = nn.Sequential(nn.Linear(widths[-1] * SMALLEST**2, HIDDEN_DIM), nn.ReLU())
        self.mean = nn.Linear(HIDDEN_DIM, latent_dim)
        self.logvar = nn.Linear(HIDDEN_DIM, latent_dim)
        _initialise(self)
        for head in (self.mean, self.logvar):
            nn.init.normal_(head.weight, std=HEAD_STD)

    def forward(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Posterior mean and logvar."""
        hidden = self.embed(images)
        return self.mean(hidden), self.logvar(hidden)

    def embed(self, images: Float[Tensor, "batch 3 size size"]) -> Float[Tensor, "batch hidden"]:
        """What the two heads read."""
        hidden: Tensor = self.hidden(self.features(images))
        return hidden


class ResidualDecoder(nn.Module):
    """Codes to image logits; a sigmoid makes them pixels in [0, 1]."""

    def __init__(self, latent_dim: int, image_size: int) -> None:
        super().__init__()
        widths = _widths(image_size)[::-1]
        blocks = [_Block(*pair, scale=2) for pair in pairwise(widths)]
        last = nn.ConvTranspose2d(STEM, 3, 4, stride=2, padding=1)
        self.input = nn.Linear(latent_dim, HIDDEN_DIM)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Linear(HIDDEN_DIM, widths[0] * SMALLEST**2),
            nn.Unflatten(1, (widths[0], SMALLEST, SMALLEST)),
            *blocks,
            nn.ReLU(),
            last,
        )
        _initialise(self)
        nn.init.normal_(last.weight, std=HEAD_STD)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Image logits."""
        logits: Tensor = self.layers(self.input(codes))
        return logits


class _Block(nn.Module):
    """Scale by 2 or 1/2, then two 3 x 3 convolutions beside a skip."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, maps: Float[Tensor, "batch inputs side side"]) -> Tensor:
        if self.scale < 1:
            maps = functional.avg_pool2d(maps, 2)
        else:
            maps = functional.interpolate(maps, scale_factor=self.scale, mode="nearest")
        inner: Tensor = self.second(self.first(maps.relu()).relu())
        skipped: Tensor = self.skip(maps)
        return skipped + inner


def _widths(image_size: int) -> list[int]:
    """Channels from behind the stem, at half the picture's side, down to ``SMALLEST``."""
    halvings = int(math.log2(image_size // 2 // SMALLEST))
    return [min(STEM * 2**level, WIDEST) for level in range(halvings + 1)]


def _initialise(module: nn.Module) -> None:
    initialise(module)
    for block in module.modules():
        if isinstance(block, _Block):
            # A linear 1 x 1: He's gain of 2 would double the variance at every block.
            nn.init.normal_(block.skip.weight, std=block.skip.in_channels**-0.5)
            with torch.no_grad():
                block.second.weight.zero_()
