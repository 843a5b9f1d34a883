"""Which encoder and decoder a recipe's ``net`` names."""

from typing import Literal, TypeAlias

from gdrl.errors import ConfigError
from gdrl.models.decoder import Decoder, conv_decoder
from gdrl.models.encoder import IMAGE_SIZE, Encoder, conv_encoder
from gdrl.models.residual import downsampling, upsampling

Net: TypeAlias = Literal["conv", "residual"]
RESIDUAL_SIZES = (64, 128, 256)


def build_pair(net: Net, latent_dim: int, image_size: int) -> tuple[Encoder, Decoder]:
    """Encoder and decoder for square images of ``image_size`` pixels.

    Raises:
        ConfigError: no such net, or none for this size.
    """
    if net == "conv" and image_size == IMAGE_SIZE:
        return conv_encoder(latent_dim), conv_decoder(latent_dim)
    if net == "residual" and image_size in RESIDUAL_SIZES:
        encoder = Encoder(*downsampling(image_size), latent_dim)
        return encoder, Decoder(*upsampling(image_size), latent_dim)
    raise ConfigError(
        f"net = {net} takes no images of {image_size} pixels; conv takes {IMAGE_SIZE}, "
        f"residual takes {', '.join(map(str, RESIDUAL_SIZES))}: set recipe.vae.net, or "
        "recipe.encoders.net for contrastive_ica, or recipe.dataset.image_size"
    )
