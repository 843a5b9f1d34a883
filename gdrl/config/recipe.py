"""The settings that bear on results."""

from typing import Literal, TypeAlias

from pydantic import field_validator, model_validator

from gdrl.config.dataset import DatasetRecipe
from gdrl.config.extractor import EncodersRecipe, Extractor, UnmixingRecipe
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

RESERVED = "none of these"
"""What the MLLM answers where no attribute fits, so none may be called that."""

Attributes: TypeAlias = tuple[str, ...] | Literal["discover"]


class Recipe(Section):
    """The settings that bear on results."""

    dataset: DatasetRecipe = DatasetRecipe()
    attributes: Attributes = ()
    """Names to ask the MLLM about; empty takes the world's own attributes. ``discover`` has the
    MLLM propose them and keeps the proposal in ``scores/attributes.json``."""
    extractor: Extractor = "beta_vae"
    """What finds the factors, which are the graph's nodes. ``beta_vae`` trains while the MLLM
    answers; ``contrastive_ica`` learns from the answers, so it waits for them."""
    vae: VaeRecipe = VaeRecipe()
    encoders: EncodersRecipe = EncodersRecipe()
    unmixing: UnmixingRecipe = UnmixingRecipe()
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

    @field_validator("attributes")
    @classmethod
    def _each_attribute_once(cls, attributes: Attributes) -> Attributes:
        if attributes == "discover":
            return attributes
        names = tuple(" ".join(name.split()) for name in attributes)
        folded = [name.casefold() for name in names]
        for refused, why in (("", "is empty"), (RESERVED, "is the answer where none fits")):
            if refused in folded:
                raise ValueError(f"recipe.attributes names {refused!r}, which {why}; leave it out")
        if twice := repeated(folded):
            raise ValueError(f"recipe.attributes names {twice} twice; name it once, in either case")
        return names

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
        section = {"beta_vae": "vae", "contrastive_ica": "encoders"}[self.extractor]
        if getattr(self, section).net == "conv" and self.dataset.image_size != 64:
            raise ValueError(
                f"recipe.{section}.net = conv is built for 64 pixels, and "
                f"recipe.dataset.image_size = {self.dataset.image_size}; set "
                f"recipe.{section}.net = residual"
            )
        return self
