"""Features unmixed into components, and a decoder that draws what the components say.

An affine map on top of an image encoder's last layer is another last layer: the unmixed encoder is
a VAE's, its first latents the components, and whatever takes a β-VAE takes it. Of a pre-trained
model, far larger than that, our encoder learns the components instead.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, UInt8
from numpy import ndarray
from torch import Tensor, nn

from gdrl.config import UnmixingRecipe
from gdrl.data.features import FEATURES, read_features
from gdrl.data.table import ImageTable, load_images
from gdrl.errors import ConfigError, DataError, TrainingFailed
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.models.encoder import Encoder
from gdrl.models.image_answer_encoders import ImageAnswerEncoders
from gdrl.models.nets import Net
from gdrl.models.storage import DESCRIPTION, load_encoders, save_model
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
from gdrl.training.ranks import mean_over_ranks
from gdrl.unmixing import Unmixing, fit_unmixing, stability

CHUNK = 256
NUM_STABILITY_FITS = 3


@dataclass(frozen=True)
class Encoded:
    """What ``encoders`` holds of the training images."""

    features: Float32[ndarray, "images feature"]
    num_attributes: int
    net: Net
    """Of the image encoder that is to carry the components."""
    trained: Encoder | None
    """That one, where the features are its own; None where they are a pre-trained model's."""


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

    def metrics(self) -> dict[str, float]:
        """In three numbers."""
        lowest = min(self.stability)
        return {
            "num_components": self.num_components,
            "lowest_stability": lowest,
            "explained": self.explained,
        }


class Batch(NamedTuple):
    """One part of a step's batch."""

    images: Float[Tensor, "batch 3 size size"]
    noise: Float[Tensor, "batch latent"]
    components: Float[Tensor, "batch component"]
    """What the first latents are to be; no column where they are that already."""


class ComponentsObjective(nn.Module):
    """Weighted reconstruction + beta KL around components, of which neither asks anything.

    Decoder, noise and private latents learn from them; components from what a batch says of them,
    or not at all.
    """

    is_component: Bool[Tensor, " latent"]

    def __init__(self, vae: BetaVae, num_components: int, recipe: UnmixingRecipe) -> None:
        super().__init__()
        self.vae = vae
        self.recipe = recipe
        self.register_buffer("is_component", torch.arange(vae.latent_dim) < num_components)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` and its unweighted terms: per image."""
        mean, logvar = self.vae.posterior(batch.images)
        num_learned = batch.components.shape[1]
        imitation = (mean[:, :num_learned] - batch.components).square().sum(dim=1).mean()
        # Without a gradient Adam moves nothing: a head's rows of given components stay.
        mean = torch.where(self.is_component, mean.detach(), mean)
        codes = sample(mean, logvar, batch.noise)
        reconstruction = losses.squared_error(self.vae.logits(codes), batch.images)
        kl = losses.kl_by_latent(mean, logvar).sum()
        loss = self.recipe.reconstruction_weight * reconstruction + self.recipe.beta * kl
        loss = loss + self.recipe.imitation_weight * imitation
        shown = {"reconstruction": reconstruction, "kl": kl}
        shown |= {"imitation": imitation} if num_learned else {}
        return {"loss": loss} | {name: term.detach() for name, term in shown.items()}


def train(job: TrainingJob) -> None:
    """Unmix ``encoders``' features of all training images, then train a decoder of ``dataset``.

    Publishes model.safetensors and model.json as a β-VAE's, unmixing.json and metrics.jsonl. Every
    worker fits the unmixing for itself, from the same rows: of 7,000 images that takes seconds.

    Raises:
        ConfigError: the workers cannot share a batch evenly, or more components than features.
        DataError: the data set cannot be read, the features are not its own, or they vary in fewer
            directions.
        TrainingFailed: FastICA did not converge, the workers found unlike numbers of components,
            the loss is not finite, or the checkpoint does not fit.
    """
    recipe = cast(UnmixingRecipe, job.recipe)
    check_shares(job, batch_size=recipe.batch_size)
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(job.scale.threads_per_worker)
    table = load_images(job.inputs["dataset"], "train")
    encoded = read_encoded(job.inputs["encoders"], table, use_gpu=job.scale.use_gpu)
    unmixing, unmixed = unmix(encoded, recipe)
    vae = BetaVae(recipe.latent_dim, encoded.net, table.pixels.shape[1])
    if encoded.trained is not None:
        take_components(vae.encoder, encoded.trained, unmixing)
    engine = Engine(ComponentsObjective(vae, unmixed.num_components, recipe), job, recipe)
    _check_agreement(unmixed.num_components)
    components = torch.from_numpy(unmixing.transform(encoded.features)).float()
    if encoded.trained is not None:
        components = components[:, :0]

    def publish(weights: dict[str, Tensor], folder: Path) -> None:
        save_model(vae, folder, below("vae.", weights), seed=recipe.seed)
        (folder / "unmixing.json").write_text(json.dumps(asdict(unmixed), indent=2) + "\n")

    def scores_at(step: int) -> dict[str, float]:
        return unmixed.metrics() if step == recipe.steps else {}

    rows_at, batch_at = _batches(recipe, engine, table, components)
    loop.run(
        *(job, recipe, engine, batch_at, lambda step: table.ids[rows_at(step)]), publish, scores_at
    )


def _check_agreement(num_components: int) -> None:
    """Each rank fits for itself, and on unlike machines the last digit may decide."""
    mean = mean_over_ranks(torch.tensor(float(num_components))).item()
    if mean != num_components:
        raise TrainingFailed(
            f"this worker found {num_components} components, all of them {mean:g} on average; set "
            "recipe.unmixing.num_components to a number that converges"
        )


def read_encoded(folder: Path, table: ImageTable, *, use_gpu: bool = False) -> Encoded:
    """Features of the training images: stored ones, or by our own encoder.

    Raises:
        DataError: stored features are of other images.
        ArtifactMissing, ArtifactCorrupt: no usable encoder.
    """
    if not (folder / FEATURES).is_file():
        encoders = load_encoders(folder)
        features = features_of(encoders.to("cuda" if use_gpu else "cpu"), table.pixels)
        return Encoded(features, encoders.num_attributes, encoders.net, encoders.cpu().image)
    ids, features = read_features(folder)
    if not np.array_equal(ids, table.ids):
        raise DataError(
            f"{folder} holds features of other images: take encoders and dataset from one run"
        )
    description = json.loads((folder / DESCRIPTION).read_text())
    return Encoded(features, description["num_attributes"], description["net"], None)


def _batches(
    recipe: UnmixingRecipe,
    engine: Engine,
    table: ImageTable,
    components: Float[Tensor, "images component"],
) -> tuple[Callable[[int], Int64[ndarray, " batch"]], Callable[[int, Part], Batch]]:
    pixels = torch.from_numpy(table.pixels)

    def rows_at(step: int) -> Int64[ndarray, " batch"]:
        return positions_at(step, recipe.batch_size, len(pixels), recipe.seed)

    def batch_at(step: int, part: Part) -> Batch:
        rows = share(part, rows_at(step))
        shape = (recipe.batch_size, recipe.latent_dim)
        noise = torch.randn(shape, generator=generator_at(step, recipe.seed))
        images = to_images(pixels[rows].to(engine.device))
        return Batch(
            images, share(part, noise).to(engine.device), components[rows].to(engine.device)
        )

    return rows_at, batch_at


@torch.no_grad()
def features_of(
    encoders: ImageAnswerEncoders, pixels: UInt8[ndarray, "images size size 3"]
) -> Float32[ndarray, "images feature"]:
    """Features of many images, as they come: normalised, independent ones would depend."""
    device = encoders.image.mean.weight.device
    parts = torch.from_numpy(pixels).split(CHUNK)
    return torch.cat([encoders.features(to_images(p.to(device))).cpu() for p in parts]).numpy()


def unmix(encoded: Encoded, recipe: UnmixingRecipe) -> tuple[Unmixing, Unmixed]:
    """The map from features to components, and what is to be said of it.

    Raises:
        ConfigError: more components were asked for than there are features.
        DataError: the features vary in fewer directions than components were asked for, or none.
        TrainingFailed: FastICA or varimax did not converge for the number asked for, from one of
            three seeds.
    """
    width = encoded.features.shape[1]
    if recipe.num_components > width:
        raise ConfigError(
            f"recipe.unmixing.num_components = {recipe.num_components} is more than the {width} "
            "features; lower it (0 takes as many as can be found)"
        )
    number = recipe.num_components or min(encoded.num_attributes, recipe.latent_dim, width)
    while True:
        try:
            return _unmixed(encoded.features, number, recipe)
        except (DataError, TrainingFailed) as error:
            if recipe.num_components:
                setting = "the setting is recipe.unmixing.num_components; 0 takes what can be found"
                raise type(error)(f"{error}: {setting}") from error
            if number == 1:
                raise
        number -= 1


def _unmixed(
    features: Float32[ndarray, "images feature"], number: int, recipe: UnmixingRecipe
) -> tuple[Unmixing, Unmixed]:
    method, num_fits = recipe.method, NUM_STABILITY_FITS if recipe.method == "ica" else 1
    seeds = range(recipe.seed, recipe.seed + num_fits)
    fits = [fit_unmixing(features, number, method, seed=seed) for seed in seeds]
    fit = fits[0]
    again = stability(fits) if num_fits > 1 else np.ones(number)
    explained, found = fit.whitening.explained, again.round(4).tolist()
    return fit, Unmixed(method, number, explained, fit.iterations, found)


@torch.no_grad()
def take_components(encoder: Encoder, image: Encoder, unmixing: Unmixing) -> None:
    """Make the first latents of ``encoder`` the components of ``image``'s features, in place.

    What makes features of images is held from here on.
    """
    encoder.features.load_state_dict(image.features.state_dict())
    encoder.hidden.load_state_dict(image.hidden.state_dict())
    for layers in (encoder.features, encoder.hidden):
        layers.requires_grad_(False)
    matrix = torch.from_numpy(unmixing.whitening.matrix @ unmixing.rotation)
    mean = torch.from_numpy(unmixing.whitening.mean)
    rows = slice(matrix.shape[1])
    encoder.mean.weight[rows] = (matrix.T @ image.mean.weight.double()).float()
    encoder.mean.bias[rows] = ((image.mean.bias.double() - mean) @ matrix).float()
