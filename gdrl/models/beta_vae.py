"""The beta-VAE (Kingma & Welling 2014; Higgins et al. 2017); its objective is elsewhere."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gdrl.models.encoder import IMAGE_SIZE
from gdrl.models.nets import Net, build_pair


class BetaVae(nn.Module):
    """Encoder and decoder around a diagonal Gaussian posterior over ``latent_dim`` latents.

    Raises ConfigError for a net that takes no images of ``image_size`` pixels.
    """

    kind = "beta_vae"

    def __init__(self, latent_dim: int, net: Net = "conv", image_size: int = IMAGE_SIZE) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.net: Net = net
        self.image_size = image_size
        self.encoder, self.decoder = build_pair(net, latent_dim, image_size)

    def posterior(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Mean and logvar of q(z | x), in float32 whatever autocast computes in."""
        mean, logvar = self.encoder(images)
        return mean.float(), logvar.float()

    def logits(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Image logits, in float32 whatever autocast computes in."""
        logits: Tensor = self.decoder(codes)
        return logits.float()

    def decode(self, codes: Float[Tensor, "batch latent"]) -> Float[Tensor, "batch 3 size size"]:
        """Images in [0, 1]."""
        return self.logits(codes).sigmoid()

    def description(self) -> dict[str, Any]:
        """What ``model.json`` holds: enough to rebuild the module."""
        return {
            "kind": self.kind,
            "net": self.net,
            "image_size": self.image_size,
            "latent_dim": self.latent_dim,
        }

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
