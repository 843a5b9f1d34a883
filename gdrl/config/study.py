"""The identifiability study of latent partial causal models: worlds, encoders, rows."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gdrl.config.section import Name, PositiveFloat, PositiveInt, Section, repeated
from gdrl.config.training import TrainRecipe


class PairedLatentsRecipe(Section):
    """Pairs of observations whose latents are known: the study of Liu et al. (2402.06223)."""

    space: Literal["sphere", "box", "unbounded"] = "sphere"
    """Where the shared latents live: unit sphere, [0, 1]^dim, or R^dim."""
    dim: PositiveInt = 5
    """Shared latents of a pair: coordinates, also on the sphere."""
    private_dim: Annotated[int, Field(ge=0)] = 5
    """Latents that one modality has for itself, N(0, I)."""
    marginal: Literal["uniform", "normal", "laplace", "generalised_normal"] = "uniform"
    """Of the first modality's latents: around 0, projected onto the sphere, or around the middle of
    the box and confined to it."""
    marginal_scale: PositiveFloat = 1.0
    conditional: Literal["vmf", "normal", "laplace", "generalised_normal"] = "vmf"
    """Of the second modality's latents around the first's, projected or confined likewise."""
    conditional_scale: PositiveFloat = 0.1
    """Standard deviation of ``normal``, lambda of ``laplace``, scale of ``generalised_normal``
    (density exp(-|x / scale|^3)), 1 / kappa of ``vmf``."""
    seed: int = 0

    @model_validator(mode="after")
    def _laws_of_the_space(self) -> "PairedLatentsRecipe":
        if self.conditional == "vmf" and self.space != "sphere":
            raise ValueError(
                f"conditional = vmf lives on the sphere, not in space = {self.space}; set space = "
                "sphere, or conditional = laplace"
            )
        if self.marginal == "uniform" and self.space == "unbounded":
            raise ValueError(
                "space = unbounded has no uniform distribution; set marginal = normal, or space = "
                "box"
            )
        if self.space == "sphere" and self.dim < 2:
            raise ValueError("space = sphere needs dim of at least 2")
        return self


class ContrastiveRecipe(TrainRecipe):
    """Two encoders and symmetric InfoNCE on pairs with known latents."""

    latents: PairedLatentsRecipe = PairedLatentsRecipe()
    encoder_space: Literal["sphere", "box", "unbounded"] = "sphere"
    """Where codes live, and how they are compared: cosine on the sphere; L1 in a box (a sigmoid
    times a learned bound for each coordinate) and in R^dim."""
    temperature: PositiveFloat = 0.1
    """At the end, from 1 at the start. The conditional's own scale is the optimum, where the
    encoder's space is the latents'."""
    steps: PositiveInt = 10_000
    batch_size: Annotated[int, Field(ge=2)] = 1_024
    """Pairs of a global batch; each is told from all others of it, whichever worker has them."""
    learning_rate: PositiveFloat = 3e-3


class StudyRow(Section):
    """One row of a study: what the latents are, and what the encoders take them for."""

    name: Name
    latents: PairedLatentsRecipe
    encoder_space: Literal["sphere", "box", "unbounded"]
    temperature: PositiveFloat
    score: Literal["r2", "mcc"]
    """What the row is judged by: linear or componentwise recovery."""
    paper: str = ""
    """What the paper reports for it, in percent, as printed."""


class StudyRecipe(Section):
    """Identifiability row by row, each from several seeds."""

    rows: tuple[StudyRow, ...] = ()
    num_seeds: PositiveInt = 5
    """A seed decides latents, mixing, weights and batches."""

    @model_validator(mode="after")
    def _each_row_once(self) -> "StudyRecipe":
        if twice := repeated([row.name for row in self.rows]):
            raise ValueError(f"recipe.study.rows has two rows {twice}; name each differently")
        return self
