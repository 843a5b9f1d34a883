"""Discriminators: of image and code (GEM, section 3.4), and of codes alone (FactorVAE)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.encoder import CHANNELS, HIDDEN_DIM, IMAGE_SIZE, convolutions

CODE_LAYERS = 6
CODE_HIDDEN_DIM = 1000
CODE_LEAK = 0.2


class Discriminator(nn.Module):
    """Image and code to one logit, whose optimum is ``log q(x, z) / p(x, z)``.

    q pairs an image with its posterior sample, p a prior sample with its decoding. The paper
    prints the ratio inverted; the loss it minimises, and DEAR's code from which it comes, lead to
    this one.
    """

    def __init__(self, latent_dim: int, image_size: int = IMAGE_SIZE) -> None:
        super().__init__()
        self.images = nn.Sequential(
            *convolutions(image_size),
            nn.Flatten(),
            nn.Linear(CHANNELS[-1] * 4 * 4, HIDDEN_DIM),
            nn.ReLU(),
        )
        self.codes = nn.Sequential(nn.Linear(latent_dim, HIDDEN_DIM), nn.ReLU())
        self.joint = nn.Sequential(
            nn.Linear(2 * HIDDEN_DIM, HIDDEN_DIM), nn.ReLU(), nn.Linear(HIDDEN_DIM, 1)
        )

    def forward(
        self,
        images: Float[Tensor, "batch 3 size size"],
        codes: Float[Tensor, "batch latent"],
    ) -> Float[Tensor, " batch"]:
        """Logits."""
        joint: Tensor = self.joint(torch.cat([self.images(images), self.codes(codes)], dim=1))
        return joint.squeeze(1).float()


class CodeDiscriminator(nn.Module):
    """Code to one logit, whose optimum is ``log q(z) / prod_j q(z_j)``.

    Six layers of 1,000 leaky ReLUs (Kim & Mnih 2018, appendix A): 5 million weights, six times the
    VAE's. The paper's two softmax outputs are one logit here, their difference.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (latent_dim, *[CODE_HIDDEN_DIM] * (CODE_LAYERS - 1)):
            layers += [nn.Linear(inputs, CODE_HIDDEN_DIM), nn.LeakyReLU(CODE_LEAK)]
        self.layers = nn.Sequential(*layers, nn.Linear(CODE_HIDDEN_DIM, 1))

    def forward(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, " batch"]:
        """Logits."""
        logits: Tensor = self.layers(codes)
        return logits.squeeze(1).float()
