"""The settings that bear on results."""

from typing import Literal

from pydantic import model_validator

from gdrl.config.dataset import DatasetRecipe
from gdrl.config.method import (
    DisGraphRecipe,
    EvaluationRecipe,
    GraphRecipe,
    MatchingRecipe,
    MLLMRecipe,
    ScoresRecipe,
    VaeRecipe,
)
from gdrl.config.section import Section, repeated
from gdrl.config.study import ContrastiveRecipe, StudyRecipe


class Recipe(Section):
    """The settings that bear on results."""

    dataset: DatasetRecipe = DatasetRecipe()
    attributes: tuple[str, ...] | Literal["discover"] = ()
    """Names to ask the MLLM about; empty takes the world's own attributes. ``discover`` has the
    MLLM propose them and keeps the proposal in ``scores/attributes.json``."""
    vae: VaeRecipe = VaeRecipe()
    mllm: MLLMRecipe = MLLMRecipe()
    scores: ScoresRecipe = ScoresRecipe()
    matching: MatchingRecipe = MatchingRecipe()
    graph: GraphRecipe = GraphRecipe()
    disgraph: DisGraphRecipe = DisGraphRecipe()
    evaluation: EvaluationRecipe = EvaluationRecipe()
    contrastive: ContrastiveRecipe = ContrastiveRecipe()
    study: StudyRecipe = StudyRecipe()

    @property
    def stopping(self) -> GraphRecipe | None:
        """What decides when enough has been asked; None where everything is asked."""
        return self.graph if self.graph.interval_width else None

    @model_validator(mode="after")
    def _each_attribute_once(self) -> "Recipe":
        if self.attributes != "discover" and (twice := repeated(self.attributes)):
            raise ValueError(f"recipe.attributes names {twice} twice; name it once")
        return self

    @model_validator(mode="after")
    def _attributes_for_folders(self) -> "Recipe":
        if not self.dataset.has_names and not self.attributes:
            raise ValueError(
                "recipe.attributes is empty: a folder of images has no attribute names of its own; "
                'list the ones to ask about, for example recipe.attributes=["smiling","hat"]'
            )
        return self

    @model_validator(mode="after")
    def _net_for_size(self) -> "Recipe":
        if self.vae.net == "conv" and self.dataset.image_size != 64:
            raise ValueError(
                f"recipe.vae.net = conv is built for 64 pixels, and recipe.dataset.image_size = "
                f"{self.dataset.image_size}; set recipe.vae.net = residual"
            )
        return self
