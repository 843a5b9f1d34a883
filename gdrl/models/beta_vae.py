"""The beta-VAE (Kingma & Welling 2014; Higgins et al. 2017); its objective is elsewhere."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.decoder import Decoder
from gdrl.models.encoder import IMAGE_SIZE, Encoder


class BetaVae(nn.Module):
    """Encoder and decoder around a diagonal Gaussian posterior over ``latent_dim`` latents."""

    kind = "beta_vae"
    image_size = IMAGE_SIZE

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = Encoder(latent_dim)
        self.decoder = Decoder(latent_dim)

    def posterior(
        self, images: Float[Tensor, "batch 3 64 64"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Mean and logvar of q(z | x), in float32 whatever autocast computes in."""
        mean, logvar = self.encoder(images)
        return mean.float(), logvar.float()

    def logits(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 64 64"]:
        """Image logits, in float32 whatever autocast computes in."""
        logits: Tensor = self.decoder(codes)
        return logits.float()

    def decode(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 64 64"]:
        """Images in [0, 1]."""
        return self.logits(codes).sigmoid()

    def description(self) -> dict[str, Any]:
        """What ``model.json`` holds: enough to rebuild the module."""
        return {"kind": self.kind, "image_size": IMAGE_SIZE, "latent_dim": self.latent_dim}

    @torch.no_grad()
    def flip_latents(self, signs: Float[Tensor, " latent"]) -> None:
        """Turn round the latents with sign -1, in place: the same images from mirrored codes."""
        self.encoder.mean.weight.mul_(signs[:, None])
        self.encoder.mean.bias.mul_(signs)
        self.decoder.input.weight.mul_(signs[None, :])


def sample(
    mean: Float[Tensor, "batch latent"],
    logvar: Float[Tensor, "batch latent"],
    noise: Float[Tensor, "batch latent"],
) -> Float[Tensor, "batch latent"]:
    """Reparametrised draw from N(mean, exp(logvar)) with standard normal ``noise``."""
    return mean + noise * (0.5 * logvar).exp()
