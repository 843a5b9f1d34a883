"""Features of a contrastive pair unmixed, and a decoder that draws what the components say.

An affine map on top of the image encoder's last layer is another last layer: the unmixed encoder is
a VAE's, its first latents the components, and whatever takes a β-VAE takes it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from numpy import ndarray
from torch import Tensor, nn

from gdrl.config import UnmixingRecipe
from gdrl.data.table import load_images
from gdrl.errors import ConfigError, DataError, TrainingFailed
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.models.encoder import Encoder
from gdrl.models.image_answer_encoders import ImageAnswerEncoders
from gdrl.models.storage import load_encoders, save_model
from gdrl.training import loop, losses
from gdrl.training.batches import (
    Part,
    below,
    check_shares,
    generator_at,
    positions_at,
    share,
    to_images,
)
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob
from gdrl.unmixing import Unmixing, fit_unmixing, stability

CHUNK = 256
NUM_STABILITY_FITS = 3


@dataclass(frozen=True)
class Unmixed:
    """What ``unmixing.json`` says of the fit."""

    method: str
    num_components: int
    explained: float
    """Share of the features' variance that the components hold."""
    iterations: int
    stability: list[float]
    """How surely each component is found again from other seeds, in [0, 1]; 1 where no seed
    decides."""


class Batch(NamedTuple):
    """One part of a step's batch."""

    images: Float[Tensor, "batch 3 size size"]
    noise: Float[Tensor, "batch latent"]


class DecoderObjective(nn.Module):
    """Weighted reconstruction + beta KL around components that stay as they are.

    Decoder, noise and private latents learn.
    """

    is_component: Bool[Tensor, " latent"]

    def __init__(self, vae: BetaVae, num_components: int, recipe: UnmixingRecipe) -> None:
        super().__init__()
        self.vae = vae
        self.recipe = recipe
        self.register_buffer("is_component", torch.arange(vae.latent_dim) < num_components)
        for layers in (vae.encoder.features, vae.encoder.hidden):
            layers.requires_grad_(False)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` and its unweighted terms: per image."""
        mean, logvar = self.vae.posterior(batch.images)
        # Without a gradient Adam moves nothing, and the heads' rows of components stay.
        mean = torch.where(self.is_component, mean.detach(), mean)
        codes = sample(mean, logvar, batch.noise)
        reconstruction = losses.squared_error(self.vae.logits(codes), batch.images)
        kl = losses.kl_by_latent(mean, logvar).sum()
        loss = self.recipe.reconstruction_weight * reconstruction + self.recipe.beta * kl
        return {"loss": loss, "reconstruction": reconstruction.detach(), "kl": kl.detach()}


def train(job: TrainingJob) -> None:
    """Unmix ``encoders``' features of all training images, then train a decoder of ``dataset``.

    Publishes model.safetensors and model.json as a β-VAE's, unmixing.json and metrics.jsonl. Every
    worker fits the unmixing for itself, from the same rows: of 7,000 images that takes seconds.

    Raises:
        ConfigError: the workers cannot share a batch evenly, or the components find no room.
        DataError: the data set cannot be read, or the features vary in fewer directions.
        TrainingFailed: FastICA did not converge, the loss is not finite, or the checkpoint does not
            fit.
    """
    recipe = cast(UnmixingRecipe, job.recipe)
    check_shares(job, batch_size=recipe.batch_size)
    table = load_images(job.inputs["dataset"], "train")
    encoders = load_encoders(job.inputs["encoders"])
    num_components = _num_components(recipe, encoders)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(job.scale.threads_per_worker)
    unmixing, unmixed = unmix(features_of(encoders, table.pixels), num_components, recipe)
    vae = BetaVae(recipe.latent_dim, encoders.net, encoders.image_size)
    take_components(vae.encoder, encoders.image, unmixing)
    engine = Engine(DecoderObjective(vae, num_components, recipe), job, recipe)
    pixels = torch.from_numpy(table.pixels)

    def rows_at(step: int) -> Int64[ndarray, " batch"]:
        return positions_at(step, recipe.batch_size, len(pixels), recipe.seed)

    def batch_at(step: int, part: Part) -> Batch:
        shape = (recipe.batch_size, recipe.latent_dim)
        noise = torch.randn(shape, generator=generator_at(step, recipe.seed))
        images = to_images(pixels[share(part, rows_at(step))].to(engine.device))
        return Batch(images, share(part, noise).to(engine.device))

    def publish(weights: dict[str, Tensor], folder: Path) -> None:
        save_model(vae, folder, below("vae.", weights), seed=recipe.seed)
        (folder / "unmixing.json").write_text(json.dumps(asdict(unmixed), indent=2) + "\n")

    def scores_at(step: int) -> dict[str, float]:
        lowest = {"lowest_stability": min(unmixed.stability), "explained": unmixed.explained}
        return lowest if step == recipe.steps else {}

    loop.run(
        *(job, recipe, engine, batch_at, lambda step: table.ids[rows_at(step)]), publish, scores_at
    )


def _num_components(recipe: UnmixingRecipe, encoders: ImageAnswerEncoders) -> int:
    """As asked, or as many as there are attributes.

    Raises:
        ConfigError: more than ``latent_dim`` or ``feature_dim`` has room for.
    """
    wanted = recipe.num_components or encoders.num_attributes
    for setting, room in (
        ("recipe.unmixing.latent_dim", recipe.latent_dim),
        ("recipe.encoders.feature_dim", encoders.feature_dim),
    ):
        if wanted > room:
            raise ConfigError(
                f"{setting} = {room} has no room for {wanted} components; raise it, or lower "
                "recipe.unmixing.num_components (0 is the number of attributes)"
            )
    return wanted


@torch.no_grad()
def features_of(
    encoders: ImageAnswerEncoders, pixels: UInt8[ndarray, "images size size 3"]
) -> Float32[ndarray, "images feature"]:
    """Features of many images, as they come: normalised, independent ones would depend."""
    parts = torch.from_numpy(pixels).split(CHUNK)
    return torch.cat([encoders.features(to_images(part)) for part in parts]).numpy()


def unmix(
    features: Float32[ndarray, "images feature"], num_components: int, recipe: UnmixingRecipe
) -> tuple[Unmixing, Unmixed]:
    """The map from features to components, and what is to be said of it.

    Raises:
        DataError: the features vary in fewer directions.
        TrainingFailed: FastICA or varimax did not converge, from one of three seeds.
    """
    num_fits = NUM_STABILITY_FITS if recipe.method == "ica" else 1
    try:
        fits = [
            fit_unmixing(features, num_components, recipe.method, seed=recipe.seed + k)
            for k in range(num_fits)
        ]
    except (DataError, TrainingFailed) as error:
        raise type(error)(f"{error}. The setting is recipe.unmixing.num_components") from error
    fit = fits[0]
    again = stability(fits) if num_fits > 1 else np.ones(num_components)
    explained, iterations = fit.whitening.explained, fit.iterations
    return fit, Unmixed(
        recipe.method, num_components, explained, iterations, again.round(4).tolist()
    )


@torch.no_grad()
def take_components(encoder: Encoder, image: Encoder, unmixing: Unmixing) -> None:
    """Make the first latents of ``encoder`` the components of ``image``'s features, in place."""
    encoder.features.load_state_dict(image.features.state_dict())
    encoder.hidden.load_state_dict(image.hidden.state_dict())
    matrix = torch.from_numpy(unmixing.whitening.matrix @ unmixing.rotation)
    mean = torch.from_numpy(unmixing.whitening.mean)
    rows = slice(matrix.shape[1])
    encoder.mean.weight[rows] = (matrix.T @ image.mean.weight.double()).float()
    encoder.mean.bias[rows] = ((image.mean.bias.double() - mean) @ matrix).float()
