"""The unsupervised stage: a beta-VAE on the training split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gdrl.config import VaeRecipe
from gdrl.data.table import load_images
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.models.storage import save_model
from gdrl.training import loop, losses
from gdrl.training.batches import below, check_shares, generator_at, positions_at, share, to_images
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob
from gdrl.training.schedule import capacity_at


@dataclass(frozen=True)
class Batch:
    """One rank's share of a step."""

    images: Float[Tensor, "batch 3 64 64"]
    noise: Float[Tensor, "batch latent"]
    capacity: float
    """Target KL of this step, in nats."""


class BetaVaeObjective(nn.Module):
    """Reconstruction + beta KL (Higgins et al. 2017), or beta |KL - C| (Burgess et al. 2018)."""

    def __init__(self, vae: BetaVae, recipe: VaeRecipe) -> None:
        super().__init__()
        self.vae = vae
        self._recipe = recipe

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` and its terms: per image, in nats but for the weight of the reconstruction."""
        recipe = self._recipe
        mean, logvar = self.vae.posterior(batch.images)
        logits = self.vae.logits(sample(mean, logvar, batch.noise))
        reconstruction = RECONSTRUCTION[recipe.reconstruction](logits, batch.images)
        kl = losses.kl_by_latent(mean, logvar).sum()
        pressure = (kl - batch.capacity).abs() if recipe.capacity else kl
        beta = 1.0 if recipe.objective == "vae" else recipe.beta
        loss = recipe.reconstruction_weight * reconstruction + beta * pressure
        return {"loss": loss, "reconstruction": reconstruction.detach(), "kl": kl.detach()}


RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": losses.squared_error,
    "bernoulli": losses.bernoulli_error,
}


def train(job: TrainingJob) -> None:
    """Train on ``inputs["dataset"]``; publish model.safetensors, model.json and metrics.jsonl.

    Raises:
        ConfigError: the workers cannot share a batch evenly.
        DataError: the data set cannot be read.
        TrainingFailed: the loss is not finite, or the checkpoint does not fit.
    """
    recipe = cast(VaeRecipe, job.recipe)
    check_shares(job, batch_size=recipe.batch_size)
    pixels = torch.from_numpy(load_images(job.inputs["dataset"], "train").pixels)
    torch.manual_seed(recipe.seed)
    vae = BetaVae(recipe.latent_dim)
    engine = Engine(BetaVaeObjective(vae, recipe), job, recipe.batch_size, recipe.precision)

    def batch_at(step: int) -> Batch:
        positions = positions_at(step, recipe.batch_size, len(pixels), recipe.seed)
        noise = torch.randn(
            recipe.batch_size, recipe.latent_dim, generator=generator_at(step, recipe.seed)
        )
        return Batch(
            images=to_images(pixels[share(job, positions)].to(engine.device)),
            noise=share(job, noise).to(engine.device),
            capacity=capacity_at(step, recipe.steps, recipe.capacity),
        )

    def publish(weights: dict[str, Tensor], folder: Path) -> None:
        save_model(vae, folder, below("vae.", weights), seed=recipe.seed)

    loop.run(job, recipe, engine, batch_at, publish)
