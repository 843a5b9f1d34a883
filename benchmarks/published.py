"""What a training entry publishes, without Ray."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from gdrl.config import TrainRecipe, TrainScale
from gdrl.training.job import PUBLISHED, TrainingJob


def published(
    train: Callable[[TrainingJob], None],
    recipe: TrainRecipe,
    inputs: Mapping[str, Path],
    out: Path,
    *,
    use_gpu: bool = False,
) -> dict[str, float]:
    """Train in this process, with its only checkpoint at the end.

    Args:
        train: the entry, such as ``gdrl.training.vae.train``.
        recipe: its section of the recipe.
        inputs: folders by artifact name.
        out: a folder that does not exist yet; what is published is moved there.
        use_gpu: whether to train on the GPU.

    Returns:
        The metrics of the last step.
    """
    last = dict[str, float]()

    def report(_step: int, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        last.update(metrics)
        if checkpoint is not None:  # whoever is told of it owns the folder
            shutil.move(checkpoint / PUBLISHED, out)
            shutil.rmtree(checkpoint)

    scale = TrainScale(use_gpu=use_gpu, checkpoint_every_steps=recipe.steps)
    train(TrainingJob(recipe, scale, inputs, rank=0, world_size=1, report=report))
    return last
