"""The convolutional decoder for 64x64 images: the encoder's mirror image."""

from itertools import pairwise
from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.encoder import CHANNELS, HEAD_STD, HIDDEN_DIM, initialise


class Decoder(nn.Module):
    """Codes to image logits; a sigmoid makes them pixels in [0, 1]."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.input = nn.Linear(latent_dim, HIDDEN_DIM)
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Linear(HIDDEN_DIM, CHANNELS[-1] * 4 * 4),
            nn.ReLU(),
            nn.Unflatten(1, (CHANNELS[-1], 4, 4)),
            *_transposed_convolutions(),
        )
        initialise(self)
        nn.init.normal_(cast(Tensor, self.layers[-1].weight), std=HEAD_STD)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 64 64"]:
        """Image logits."""
        logits: Tensor = self.layers(self.input(codes))
        return logits


def _transposed_convolutions() -> list[nn.Module]:
    widths = (*reversed(CHANNELS), 3)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
    return layers[:-1]
