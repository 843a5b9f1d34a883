"""A decoder that draws what the components say, around an encoder that is their unmixing.

The two are published as a β-VAE is, and whatever takes one takes them. Of a pre-trained model, far
larger than a VAE, our encoder learns the components instead.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from torch import Tensor, nn

from gdrl.config import UnmixingRecipe
from gdrl.data.table import ImageTable, load_images
from gdrl.errors import TrainingFailed
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.models.storage import save_model
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
from gdrl.training.encoded import read_encoded, take_components, unmix
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob
from gdrl.training.ranks import mean_over_ranks


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
    table = load_images(job.inputs["dataset"], "train", job.scale.image_memory_gb)
    encoded = read_encoded(job.inputs["encoders"], table, use_gpu=job.scale.use_gpu)
    unmixing, unmixed = unmix(encoded, recipe)
    vae = BetaVae(recipe.latent_dim, encoded.net, table.pixels.shape[1])
    if encoded.trained is not None:
        take_components(vae.encoder, encoded.trained, unmixing)
    engine = Engine(ComponentsObjective(vae, unmixed.num_components, recipe), job)
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
    loop.run(job, engine, batch_at, lambda step: table.ids[rows_at(step)], publish, scores_at)


def _check_agreement(num_components: int) -> None:
    """Each rank fits for itself, and on unlike machines the last digit may decide."""
    mean = mean_over_ranks(torch.tensor(float(num_components))).item()
    if mean != num_components:
        raise TrainingFailed(
            f"this worker found {num_components} components, all of them {mean:g} on average; set "
            "recipe.unmixing.num_components to a number that converges"
        )


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
