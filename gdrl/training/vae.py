"""The unsupervised stage: a VAE on the training split, under one of four objectives."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor, nn

from gdrl.config import VaeRecipe
from gdrl.data.table import load_images
from gdrl.errors import ConfigError
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.models.discriminator import CodeDiscriminator
from gdrl.models.storage import save_model
from gdrl.training import loop, losses
from gdrl.training.batches import (
    Part,
    below,
    check_shares,
    check_whole,
    generator_at,
    positions_at,
    share,
    to_images,
)
from gdrl.training.constant import constant
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob
from gdrl.training.schedule import capacity_at


@dataclass(frozen=True)
class Batch:
    """One part of a step's batch."""

    images: Float[Tensor, "batch 3 size size"]
    noise: Float[Tensor, "batch latent"]
    orders: Int64[Tensor, "batch latent"]
    """An order of the batch for each latent."""
    capacity: float
    """Target KL of this step, in nats."""


@dataclass(frozen=True)
class Posterior:
    """q(z | x) of a batch, a draw from it, and its KL to the prior."""

    mean: Float[Tensor, "batch latent"]
    logvar: Float[Tensor, "batch latent"]
    codes: Float[Tensor, "batch latent"]
    kl: Float[Tensor, ""]


class VaeObjective(nn.Module, ABC):
    """Weighted reconstruction + a pressure on the codes, which is what the objectives differ in."""

    def __init__(self, vae: BetaVae, recipe: VaeRecipe) -> None:
        super().__init__()
        self.vae = vae
        self.recipe = recipe

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` and its unweighted terms: per image, in nats but for a Gaussian's squares."""
        mean, logvar = self.vae.posterior(batch.images)
        codes = sample(mean, logvar, batch.noise)
        compare = RECONSTRUCTION[self.recipe.reconstruction]
        reconstruction = compare(self.vae.logits(codes), batch.images)
        kl = losses.kl_by_latent(mean, logvar).sum()
        pressure, others = self.pressure(Posterior(mean, logvar, codes, kl), batch)
        loss = self.recipe.reconstruction_weight * reconstruction + pressure
        shown = {"reconstruction": reconstruction, "kl": kl, **others}
        return {"loss": loss} | {name: term.detach() for name, term in shown.items()}

    @abstractmethod
    def pressure(self, posterior: Posterior, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """What is added to the reconstruction, and the terms to show beside it."""


class BetaVaeObjective(VaeObjective):
    """Reconstruction + beta KL (Higgins et al. 2017), or beta |KL - C| (Burgess et al. 2018)."""

    def pressure(self, posterior: Posterior, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """``beta KL``, or its distance from this step's capacity."""
        beta = 1.0 if self.recipe.objective == "vae" else self.recipe.beta
        kl = (posterior.kl - batch.capacity).abs() if self.recipe.capacity else posterior.kl
        return beta * kl, {}


class BetaTcVaeObjective(VaeObjective):
    """Reconstruction + KL + (beta - 1) TC (Chen et al. 2018).

    The KL is index-code information + total correlation + KL of each latent to its prior (eq. 2);
    the paper weighs the middle one by beta and the others by 1. Only the surplus is estimated, from
    the batch: the KL itself is exact.

    Pitfall: the estimate is biased, the more the smaller the batch; see
    :func:`losses.total_correlation`. ``beta = 1`` is the VAE.
    """

    def pressure(
        self,
        posterior: Posterior,
        batch: Batch,  # noqa: ARG002 (its siblings look at it)
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """``KL + (beta - 1) TC``."""
        correlation = losses.total_correlation(posterior.codes, posterior.mean, posterior.logvar)
        pressure = posterior.kl + (self.recipe.beta - 1) * correlation
        return pressure, {"total_correlation": correlation}


class FactorVaeObjective(VaeObjective):
    """Reconstruction + KL + beta TC (Kim & Mnih 2018, eq. 2), the TC read off a discriminator.

    D tells codes from permuted codes and learns log q(z) / prod_j q(z_j); its mean over codes is
    the total correlation (eq. 3). One loss trains D on constant codes, the encoder against a
    constant D. Both share Adam's settings, and one batch gives codes and permuted codes; the paper
    takes betas (0.5, 0.9) for D and a second batch.

    Pitfall: the encoder follows D, not the total correlation. While D knows nothing the term is 0,
    and where D loses the logged value falls although the latents are tied as before: the paper
    reports the estimate to be low throughout.
    """

    def __init__(self, vae: BetaVae, recipe: VaeRecipe) -> None:
        super().__init__(vae, recipe)
        self.discriminator = CodeDiscriminator(vae.latent_dim)

    def pressure(self, posterior: Posterior, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """``KL + beta TC``, and D's own error, which trains D alone."""
        codes = posterior.codes.detach()
        error = losses.discriminator_error(
            self.discriminator(codes), self.discriminator(losses.permuted(codes, batch.orders))
        )
        correlation = constant(self.discriminator, posterior.codes).mean()
        pressure = posterior.kl + self.recipe.beta * correlation + error
        return pressure, {"total_correlation": correlation, "discriminator": error}


OBJECTIVES: dict[str, type[VaeObjective]] = {
    "vae": BetaVaeObjective,
    "beta_vae": BetaVaeObjective,
    "beta_tcvae": BetaTcVaeObjective,
    "factor_vae": FactorVaeObjective,
}
RECONSTRUCTION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": losses.squared_error,
    "bernoulli": losses.bernoulli_error,
}


def draw_orders(
    num_images: int, latent_dim: int, generator: torch.Generator
) -> Int64[Tensor, "batch latent"]:
    """A permutation of the batch for each latent."""
    return torch.rand(num_images, latent_dim, generator=generator).argsort(dim=0)


def train(job: TrainingJob) -> None:
    """Train on ``inputs["dataset"]``; publish model.safetensors, model.json and metrics.jsonl.

    Raises:
        ConfigError: the workers cannot share a batch evenly, the objective cannot be shared, or
            the net takes no images of this size.
        DataError: the data set cannot be read.
        TrainingFailed: the loss is not finite, or the checkpoint does not fit.
    """
    recipe = cast(VaeRecipe, job.recipe)
    check_shares(job, batch_size=recipe.batch_size)
    _check_scale(job, recipe)
    table = load_images(job.inputs["dataset"], "train", job.scale.image_memory_gb)
    pixels = torch.from_numpy(table.pixels)
    torch.manual_seed(recipe.seed)
    vae = BetaVae(recipe.latent_dim, recipe.net, pixels.shape[1])
    objective = OBJECTIVES[recipe.objective](vae, recipe)
    engine = Engine(objective, job)

    def rows_at(step: int) -> Int64[ndarray, " batch"]:
        return positions_at(step, recipe.batch_size, len(pixels), recipe.seed)

    def batch_at(step: int, part: Part) -> Batch:
        generator = generator_at(step, recipe.seed)
        shape = (recipe.batch_size, recipe.latent_dim)
        noise = torch.randn(shape, generator=generator)
        # Of the part: with more parts than one no objective looks at it.
        orders = draw_orders(recipe.batch_size // part.count, recipe.latent_dim, generator)
        return Batch(
            images=to_images(pixels[share(part, rows_at(step))].to(engine.device)),
            noise=share(part, noise).to(engine.device),
            orders=orders.to(engine.device),
            capacity=capacity_at(step, recipe.steps, recipe.capacity),
        )

    def publish(weights: dict[str, Tensor], folder: Path) -> None:
        save_model(vae, folder, below("vae.", weights), seed=recipe.seed)

    loop.run(job, engine, batch_at, lambda step: table.ids[rows_at(step)], publish)


def _check_scale(job: TrainingJob, recipe: VaeRecipe) -> None:
    """Total correlation and ``|KL - C|`` are of a whole batch; ZeRO-3 holds no module constant."""
    if recipe.objective in ("beta_tcvae", "factor_vae"):
        reason = f"recipe.vae.objective = {recipe.objective} estimates from a whole batch"
        check_whole(job, reason, over_workers=False)
    if recipe.capacity:
        reason = "recipe.vae.capacity is compared with the KL of a whole batch"
        check_whole(job, reason, over_workers=False)
    if recipe.objective == "factor_vae" and job.scale.zero_stage == 3:
        raise ConfigError(
            "scale.vae.zero_stage = 3 does not go with recipe.vae.objective = factor_vae; "
            "zero_stage = 0 does"
        )
