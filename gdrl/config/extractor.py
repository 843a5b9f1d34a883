"""The second extractor of factors: contrastive pairs, then linear ICA (Liu et al., 2402.06223)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gdrl.config.section import NonNegativeFloat, PositiveFloat, PositiveInt
from gdrl.config.training import JOINT_STAGE_FROM, Stretch, TrainRecipe

Extractor = Literal["beta_vae", "contrastive_ica"]


class EncodersRecipe(TrainRecipe):
    """Two encoders by symmetric InfoNCE: one of images, one of what the MLLM answers about them."""

    model: str = ""
    """A transformers directory (CLIP, SigLIP, DINO, any that pools image features), which every
    node can open: its features are unmixed, and none is trained. Empty trains both encoders."""
    feature_dim: PositiveInt = 32
    """Width of both encoders' features; the cosine between them is what is learned."""
    net: Literal["conv", "residual"] = "conv"
    """Of the image encoder, as in ``recipe.vae.net``; the joint stage takes it over. With ``model``
    it learns to tell the components that the model's features hold."""
    temperature: PositiveFloat = 0.05
    steps: PositiveInt = 400
    batch_size: Annotated[int, Field(ge=2)] = 128
    """Pairs of a global batch; each is told from all others of it, whichever worker has them."""
    learning_rate: PositiveFloat = 1e-3


class UnmixingRecipe(TrainRecipe):
    """Image features to independent components, and a decoder of these."""

    method: Literal["ica", "pca", "varimax", "random_rotation"] = "ica"
    """``ica`` is FastICA(k) on features that are not normalised; the others whiten alike and are
    its controls."""
    num_components: Annotated[int, Field(ge=0)] = 0
    """k. 0 takes as many as attributes were asked about, which is all that both sides share; fewer
    where ``latent_dim`` or the features have no room, or FastICA converges for fewer alone: of
    Gaussian directions it finds no more than one. ``unmixing.json`` says how many."""
    latent_dim: PositiveInt = 20
    """Components first. The others are the image's own (the paper's private latents): they learn
    from the reconstruction what the answers do not say."""
    reconstruction_weight: PositiveFloat = 10.0
    """Weight of the summed squared error."""
    beta: NonNegativeFloat = 4.0
    """Weight of the KL, which decides the private latents, and the noise on the components."""
    imitation_weight: PositiveFloat = 100.0
    """Weight of the squared error of components, where ``recipe.encoders.model`` has them and our
    encoder learns them. Neither reconstruction nor KL asks anything of them."""
    steps: PositiveInt = 2_000
    batch_size: PositiveInt = 32
    learning_rate: PositiveFloat = 2e-3
    schedule: Stretch = (0.0, JOINT_STAGE_FROM)
    """The joint stage goes on from there. ``[0, 1]`` for a decoder that is wanted for itself."""

    @model_validator(mode="after")
    def _room_for_components(self) -> "UnmixingRecipe":
        if self.num_components > self.latent_dim:
            raise ValueError(
                f"recipe.unmixing.num_components = {self.num_components} does not fit into "
                f"latent_dim = {self.latent_dim}; raise latent_dim"
            )
        return self
