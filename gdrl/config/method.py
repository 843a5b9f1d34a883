"""The method, stage by stage, from the beta-VAE to what is measured at the end."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gdrl.config.section import (
    Endpoint,
    Fraction,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Section,
)
from gdrl.config.training import JOINT_STAGE_FROM, Stretch, TrainRecipe


class VaeRecipe(TrainRecipe):
    """The unsupervised beta-VAE (Higgins et al. 2017), or an objective to compare it with."""

    latent_dim: PositiveInt = 20
    objective: Literal["beta_vae", "vae", "beta_tcvae", "factor_vae"] = "beta_vae"
    """``vae`` sets beta to 1. ``beta_tcvae`` (Chen et al. 2018) and ``factor_vae`` (Kim & Mnih
    2018) press on the total correlation of the latents, and run on one worker."""
    beta: NonNegativeFloat = 4.0
    """Weight of the KL (``beta_vae``), of the total correlation within it (``beta_tcvae``), or of
    the total correlation on top of it (``factor_vae``, whose paper writes gamma: 10 to 100)."""
    reconstruction: Literal["gaussian", "bernoulli"] = "gaussian"
    reconstruction_weight: PositiveFloat = 10.0
    """Weight of the summed squared error (Gaussian: 1 / (2 sigma^2), so 10 is sigma = 0.22)."""
    capacity: NonNegativeFloat = 0.0
    """Target KL in nats, raised linearly over training on one worker (Burgess et al. 2018); 0 turns
    it off."""
    net: Literal["conv", "residual"] = "conv"
    """``conv``: four convolutions, 64 pixels (Locatello et al. 2019). ``residual``: 64, 128 or 256
    pixels, at 6.5 times the arithmetic for 64. The joint stage takes over the pair."""
    steps: PositiveInt = 2_000
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    schedule: Stretch = (0.0, JOINT_STAGE_FROM)
    """The joint stage goes on from there. ``[0, 1]`` for a model that is wanted for itself."""

    @model_validator(mode="after")
    def _capacity_for_kl(self) -> "VaeRecipe":
        if self.capacity and self.objective in ("beta_tcvae", "factor_vae"):
            raise ValueError(
                f"recipe.vae.capacity: {self.objective} has no target KL; set capacity = 0, or "
                "objective = beta_vae"
            )
        return self


class MLLMRecipe(Section):
    """Who answers the questions."""

    model: str = "embedded"
    """``embedded`` (the tiny LLaVA in this package), a transformers directory, or the name that
    ``endpoint`` serves."""
    endpoint: Endpoint = ""
    """Base URL of an OpenAI-compatible server (``http://host:port/v1``); empty runs ``model`` on
    Ray Serve."""

    @property
    def is_embedded(self) -> bool:
        """Whether the tiny LLaVA in this package answers."""
        return self.model == "embedded" and not self.endpoint


class ScoresRecipe(Section):
    """Which images are scored."""

    num_images: PositiveInt = 1_500
    """Images shown to the MLLM, drawn from the training split (GEM, section 4.1)."""
    seed: int = 0


class MatchingRecipe(Section):
    """How latents get their names."""

    threshold: Fraction = 0.6
    """Least ``|2 AUROC - 1|`` between a latent and an attribute for the latent to carry its
    name."""
    traversal_range: PositiveFloat = 2.5
    """Traversals run from minus to plus this many standard deviations of the aggregate
    posterior."""
    num_frames: Annotated[int, Field(ge=3, le=15)] = 5


class GraphRecipe(Section):
    """How scores become edges."""

    reading: Literal["expectation", "argmax"] = "expectation"
    """What a score is: the expected level, or the likeliest of the six (GEM, section 3.2, which
    has the MLLM write one digit)."""
    measure: Literal["conditional_difference", "somers_d", "spearman"] = "conditional_difference"
    """``somers_d`` is the paper's (section 3.2), as printed."""
    signed: bool = True
    """``false`` keeps the magnitude only, as the paper's adjacency in [0, 1] does."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Nominal coverage of the bootstrap intervals; an edge whose interval holds 0 is not drawn."""
    num_bootstrap: PositiveInt = 500
    interval_width: NonNegativeFloat = 0.0
    """Stop asking the MLLM once the interval of every edge is narrower than this; 0 asks about all
    of ``recipe.scores.num_images``."""
    seed: int = 0

    @property
    def measurement(self) -> dict[str, Any]:
        """What ``build_graph`` takes: all but how scores are read and when to stop asking."""
        return self.model_dump(exclude={"reading", "interval_width"})


class DisGraphRecipe(TrainRecipe):
    """Joint training of encoder, graph and relation-aware decoder."""

    warm_start: bool = True
    """Go on from ``vae`` and its ``names``. ``false`` trains all from nothing in one stage, node i
    being the i-th attribute listed (GEM, section 3.3, figure 5); ``vae`` is the baseline then."""
    steps: PositiveInt = 2_500
    batch_size: PositiveInt = 32
    scored_per_batch: Annotated[int, Field(ge=0)] = 12
    """Share of the batch drawn from the scored images, for the alignment term."""
    effective_scored: PositiveInt = 300
    """Scored images are drawn unevenly, so that attributes that go together are seen apart, as far
    as leaves this many effective ones; ``scores.num_images`` or more draws all alike."""
    learning_rate: PositiveFloat = 5e-3
    """Peak of the schedule, of which this stage begins at 62 %. Peaks of 2e-3, 3e-3, 4e-3, 6e-3 and
    9e-3 gave squared errors of 0.0033, 0.0031, 0.0029, 0.0028 and 0.0031 (``faces``, seed 1).
    From nothing 2e-3 is better: 0.0034 for 0.0038 with 3e-3, a beta-VAE."""
    schedule: Stretch = (JOINT_STAGE_FROM, 1.0)
    """From where the extractor stopped; all of it with ``warm_start = false``."""
    num_layers: Annotated[int, Field(ge=0)] = 1
    """Directed GCN layers on top of the residual ``adjacency.T @ z`` (GEM, section 3.3); 0 leaves
    the residual alone."""
    drawn_edges_only: bool = True
    """Begin with 0, and pull towards it, where an edge's interval holds 0. ``false`` takes every
    edge as measured (GEM, section 3.3, which has no intervals)."""
    learn_edges: bool = True
    """``false`` holds the measured graph."""
    reconstruction_weight: NonNegativeFloat = 10.0
    """Weight of the summed squared error; the paper's total loss (section 3.4) has no such term."""
    beta: NonNegativeFloat = 4.0
    """Weight of the KL: the paper's lambda_dis times beta (sections 3.1 and 3.4)."""
    alignment_weight: NonNegativeFloat = 100.0
    """Weight of the score-guided alignment; 0 is the purely unsupervised variant."""
    intervention_weight: NonNegativeFloat = 100.0
    """Weight of the demand that an image drawn with an attribute set is read as having it. Without
    it, moving a latent showed its attribute for 6 of 12; with it, 12."""
    contrastive_weight: NonNegativeFloat = 0.1
    """Weight of the label-free graph refinement (two views, NT-Xent over nodes; SUBLIME)."""
    prior_weight: NonNegativeFloat = 100.0
    """Pull of each edge towards its measured weight, in proportion to the edge's confidence."""
    anchor_momentum: Fraction = 0.99
    """tau of the anchor's moving average: anchor = tau anchor + (1 - tau) learned."""
    adversarial_weight: NonNegativeFloat = 0.0
    """Weight of L_adv, from which the joint discriminator D(x, z) learns (GEM, section 3.4: 0.8).
    It scales D's gradient alone, and Adam divides most of that out."""
    joint_kl_weight: NonNegativeFloat = 0.0
    """Weight of L_gem, KL(q(x, z) || p(x, z)) as D tells it, from which encoder, graph and decoder
    learn (GEM, section 3.4: 0.6). Above 0 with ``adversarial_weight`` or not at all."""

    @model_validator(mode="after")
    def _switches_agree(self) -> "DisGraphRecipe":
        if not self.warm_start and self.schedule[0] > 0:
            raise ValueError(
                "recipe.disgraph: warm_start = false begins from nothing, and a schedule from "
                f"{self.schedule[0]:g} leaves out the warm-up; set schedule = [0, 1]"
            )
        if bool(self.adversarial_weight) != bool(self.joint_kl_weight):
            raise ValueError(
                "recipe.disgraph: adversarial_weight trains the discriminator that joint_kl_weight "
                "follows; set both above 0, or both to 0"
            )
        if not (self.reconstruction_weight or self.joint_kl_weight):
            raise ValueError(
                "recipe.disgraph: nothing trains the decoder; set reconstruction_weight, or "
                "joint_kl_weight and adversarial_weight, above 0"
            )
        if self.alignment_weight and not self.scored_per_batch:
            raise ValueError(
                "recipe.disgraph: scored_per_batch = 0 leaves alignment_weight nothing to align; "
                "set alignment_weight = 0, or scored_per_batch above 0"
            )
        if not self.learn_edges and (self.prior_weight or self.contrastive_weight):
            raise ValueError(
                "recipe.disgraph: learn_edges = false holds the edges that prior_weight and "
                "contrastive_weight would move; set both to 0"
            )
        return self


class EvaluationRecipe(Section):
    """What is measured at the end."""

    edge_threshold: Fraction = 0.2
    """A true edge is a population weight of at least this magnitude."""
    asymmetry_threshold: Fraction = 0.1
    """Direction accuracy counts pairs whose true weights differ at least this much in magnitude."""
    auroc_threshold: Fraction = 0.9
    """Held-out AUROC from which an attribute counts as matched to a latent of its own."""
    seed: int = 0
