"""Residual layers for 64, 128 and 256 pixels: one block for every halving of the picture.

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

STEM = 32
WIDEST = 128
SMALLEST = 4
"""Side of the last feature map, in pixels."""


def downsampling(image_size: int) -> tuple[nn.Sequential, int]:
    """Images to rows of features, and how many features: what an encoder begins with."""
    widths = _widths(image_size)
    blocks = [Block(*pair, scale=0.5) for pair in pairwise(widths)]
    stem = nn.Conv2d(3, STEM, 4, stride=2, padding=1)
    return nn.Sequential(stem, *blocks, nn.ReLU(), nn.Flatten()), widths[-1] * SMALLEST**2


def upsampling(image_size: int) -> tuple[int, list[nn.Module], nn.ConvTranspose2d]:
    """Features to image logits: how many features, the layers, and the last of them."""
    widths = _widths(image_size)[::-1]
    blocks = [Block(*pair, scale=2) for pair in pairwise(widths)]
    last = nn.ConvTranspose2d(STEM, 3, 4, stride=2, padding=1)
    unflatten = nn.Unflatten(1, (widths[0], SMALLEST, SMALLEST))
    return widths[0] * SMALLEST**2, [unflatten, *blocks, nn.ReLU()], last


class Block(nn.Module):
    """Scale by 2 or 1/2, then two 3 x 3 convolutions beside a skip."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.skip = nn.Conv2d(inputs, outputs, 1)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, maps: Float[Tensor, "batch inputs side side"]) -> Tensor:
        """Maps of half or twice the side."""
        if self.scale < 1:
            maps = functional.avg_pool2d(maps, 2)
        else:
            maps = functional.interpolate(maps, scale_factor=self.scale, mode="nearest")
        inner: Tensor = self.second(self.first(maps.relu()).relu())
        skipped: Tensor = self.skip(maps)
        return skipped + inner

    @torch.no_grad()
    def begin_as_skip(self) -> None:
        """Draw the skip's weights, and close the branch beside it."""
        # A linear 1 x 1: He's gain of 2 would double the variance at every block.
        nn.init.normal_(self.skip.weight, std=self.skip.in_channels**-0.5)
        self.second.weight.zero_()


def _widths(image_size: int) -> list[int]:
    """Channels from behind the stem, at half the picture's side, down to ``SMALLEST``."""
    halvings = int(math.log2(image_size // 2 // SMALLEST))
    return [min(STEM * 2**level, WIDEST) for level in range(halvings + 1)]
