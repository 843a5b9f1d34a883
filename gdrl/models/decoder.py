"""The decoder, and its convolutions for 64x64 images: the encoder's mirror image."""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.encoder import CHANNELS, HEAD_STD, HIDDEN_DIM, initialise


class Decoder(nn.Module):
    """Codes to image logits; a sigmoid makes them pixels in [0, 1].

    ``layers`` and ``last`` make an image of a row of ``width`` numbers.
    """

    def __init__(
        self, width: int, layers: Sequence[nn.Module], last: nn.ConvTranspose2d, latent_dim: int
    ) -> None:
        super().__init__()
        self.input = nn.Linear(latent_dim, HIDDEN_DIM)
        self.layers = nn.Sequential(nn.ReLU(), nn.Linear(HIDDEN_DIM, width), *layers, last)
        initialise(self)
        nn.init.normal_(last.weight, std=HEAD_STD)

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Image logits."""
        logits: Tensor = self.layers(self.input(codes))
        return logits


def conv_decoder(latent_dim: int) -> Decoder:
    """Four transposed convolutions, for images of 64 pixels."""
    layers: list[nn.Module] = [nn.ReLU(), nn.Unflatten(1, (CHANNELS[-1], 4, 4))]
    for inputs, outputs in pairwise(reversed(CHANNELS)):
        layers += [nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
    last = nn.ConvTranspose2d(CHANNELS[0], 3, 4, stride=2, padding=1)
    return Decoder(CHANNELS[-1] * 4 * 4, layers, last, latent_dim)
