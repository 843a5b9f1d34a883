"""Contrastive pairs: an image and the MLLM's answers about it, by symmetric InfoNCE.

The latent partial causal model (Liu et al., arXiv 2402.06223, section 3) with answers as the text:
what image and answers share is what their encoders learn.
"""

from pathlib import Path
from typing import NamedTuple, cast

import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from gdrl.config import EncodersRecipe
from gdrl.data.table import load_pixels, train_ids
from gdrl.errors import ConfigError
from gdrl.models.image_answer_encoders import ImageAnswerEncoders
from gdrl.models.storage import save_model
from gdrl.training import loop
from gdrl.training.annotations import Annotations, read_annotations
from gdrl.training.batches import (
    Part,
    below,
    check_shares,
    check_whole,
    share,
    to_images,
    whole_batch_at,
)
from gdrl.training.engine import Engine
from gdrl.training.info_nce import cosine_distance, symmetric_info_nce
from gdrl.training.job import TrainingJob


class Batch(NamedTuple):
    """One part of a step's batch."""

    images: Float[Tensor, "batch 3 size size"]
    answers: Float[Tensor, "batch attribute"]


class ImageAnswerObjective(nn.Module):
    """Symmetric InfoNCE between images and their answers, by cosine."""

    def __init__(self, encoders: ImageAnswerEncoders, temperature: float) -> None:
        super().__init__()
        self.encoders = encoders
        self.temperature = temperature

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """``loss`` in nats; log(batch size) is chance."""
        first, second = (functional.normalize(x.float(), dim=1) for x in self.encoders(*batch))
        return {"loss": symmetric_info_nce(first, second, cosine_distance, self.temperature)}


def train(job: TrainingJob) -> None:
    """Train on ``dataset`` and ``scores``; publish model.safetensors, model.json, metrics.jsonl.

    Raises:
        ConfigError: the workers cannot share a batch evenly or would take it in parts, the net
            takes no images of this size, or a batch would hold an image twice.
        DataError: the data set cannot be read, or the scores are not its own.
        TrainingFailed: the loss is not finite, or the checkpoint does not fit.
    """
    recipe = cast(EncodersRecipe, job.recipe)
    check_shares(job, batch_size=recipe.batch_size)
    check_whole(job, "each image is told from all others of its batch", over_workers=True)
    known = train_ids(job.inputs["dataset"])
    attributes, annotations = read_annotations(job.inputs["scores"], known)
    _check_enough(recipe, annotations)
    ids, answers = known[annotations.positions], signed(annotations)
    pixels = torch.from_numpy(load_pixels(job.inputs["dataset"], ids))
    torch.manual_seed(recipe.seed)
    encoders = ImageAnswerEncoders(len(attributes), recipe.feature_dim, recipe.net, pixels.shape[1])
    engine = Engine(ImageAnswerObjective(encoders, recipe.temperature), job)

    def rows_at(step: int) -> Int64[ndarray, " batch"]:
        return whole_batch_at(step, recipe.batch_size, len(answers), recipe.seed)

    def batch_at(step: int, part: Part) -> Batch:
        rows = share(part, rows_at(step))
        images = to_images(pixels[rows].to(engine.device))
        return Batch(images, answers[rows].to(engine.device))

    def publish(weights: dict[str, Tensor], folder: Path) -> None:
        save_model(encoders, folder, below("encoders.", weights), seed=recipe.seed)

    loop.run(job, engine, batch_at, lambda step: ids[rows_at(step)], publish)


def signed(annotations: Annotations) -> Float[Tensor, "scored attribute"]:
    """Answers from -1 (absent) to 1 (present); 0 says nothing, as does no answer."""
    return (2 * annotations.scores - 1) * annotations.answered


def _check_enough(recipe: EncodersRecipe, annotations: Annotations) -> None:
    """An image that is in a batch twice would have to be told from itself."""
    if recipe.batch_size > len(annotations.positions):
        raise ConfigError(
            f"recipe.encoders.batch_size = {recipe.batch_size} is more than the "
            f"{len(annotations.positions)} images that were scored; lower it, or raise "
            "recipe.scores.num_images"
        )
