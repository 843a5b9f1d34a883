"""Everything a run may be told: one frozen tree, its two halves ``recipe`` and ``scale``.

If two values may give different numbers *by intent*, the setting belongs to ``recipe`` and is
fingerprinted; where and how wide a stage runs belongs to ``scale`` and is not. Unknown keys are
errors.
"""

from gdrl.config.dataset import CELEBA, GRID_WORLDS, S3, WORLDS, CorrelationRecipe, DatasetRecipe
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
from gdrl.config.recipe import Recipe
from gdrl.config.run import Prices, RunConfig, S3Settings, Tracking
from gdrl.config.scale import ClusterScale, MLLMScale, Scale, StreamScale, TrainScale
from gdrl.config.section import Name
from gdrl.config.study import ContrastiveRecipe, PairedLatentsRecipe, StudyRow
from gdrl.config.training import TrainRecipe

__all__ = [
    "CELEBA",
    "GRID_WORLDS",
    "S3",
    "WORLDS",
    "ClusterScale",
    "ContrastiveRecipe",
    "CorrelationRecipe",
    "DatasetRecipe",
    "DisGraphRecipe",
    "EncodersRecipe",
    "EvaluationRecipe",
    "Extractor",
    "GraphRecipe",
    "MLLMRecipe",
    "MLLMScale",
    "MatchingRecipe",
    "Name",
    "PairedLatentsRecipe",
    "Prices",
    "Recipe",
    "RunConfig",
    "S3Settings",
    "Scale",
    "ScoresRecipe",
    "StreamScale",
    "StudyRow",
    "Tracking",
    "TrainRecipe",
    "TrainScale",
    "UnmixingRecipe",
    "VaeRecipe",
]
