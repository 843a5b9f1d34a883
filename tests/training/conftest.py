"""A small data set on disk, and jobs to train on it."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gdrl.config import TrainRecipe, TrainScale
from gdrl.data.pictures import encode_png
from gdrl.data.table import DatasetDescription, Row, write_description, write_images
from gdrl.graph import CorrelationGraph
from gdrl.training.job import PUBLISHED, TrainingJob
from tests.training.squares import ATTRIBUTES

NUM_IMAGES = 96


@dataclass
class Reports:
    """A report that remembers what it was told and keeps every checkpoint."""

    folder: Path
    rows: list[tuple[int, Mapping[str, float]]] = field(default_factory=list)
    checkpoints: dict[int, Path] = field(default_factory=dict)

    def __call__(self, step: int, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        self.rows.append((step, dict(metrics)))
        if checkpoint is not None:
            self.checkpoints[step] = self.folder / f"step-{step}"
            shutil.move(checkpoint, self.checkpoints[step])


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path / "reports")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares: red or blue (factor red), left or right (factor left), of random brightness."""
    folder = tmp_path_factory.mktemp("dataset")
    rng = np.random.default_rng(0)
    write_images(folder, [square(rng, number) for number in range(NUM_IMAGES)])
    write_description(
        folder,
        DatasetDescription(
            source="squares",
            kind="world",
            style=None,
            num_images=NUM_IMAGES,
            num_quarantined=0,
            image_size=64,
            attributes=("red", "left"),
            truth=None,
            attribution="",
            seed=0,
        ),
    )
    return folder


def square(rng: np.random.Generator, number: int) -> Row:
    red, left = rng.random(2) < 0.5
    pixels = np.full((64, 64, 3), 30, dtype=np.uint8)
    column = 8 if left else 36
    brightness = rng.integers(150, 256)
    pixels[20:44, column : column + 20, 0 if red else 2] = brightness
    return Row(
        png=encode_png(pixels),
        split="test" if number % 8 == 0 else "train",
        factors={"red": float(red), "left": float(left)},
    )


@pytest.fixture
def job(dataset: Path, reports: Reports) -> Callable[..., TrainingJob]:
    """Build a one-worker CPU job for a recipe."""

    def build(
        recipe: TrainRecipe,
        resume: Path | None = None,
        every: int = 500,
        parts: int = 1,
        image_memory_gb: float = 1.0,
        **inputs: Path,
    ) -> TrainingJob:
        return TrainingJob(
            recipe=recipe,
            scale=TrainScale(
                checkpoint_every_steps=every,
                accumulation_steps=parts,
                image_memory_gb=image_memory_gb,
            ),
            inputs={"dataset": dataset, **inputs},
            rank=0,
            world_size=1,
            report=reports,
            resume=resume,
        )

    return build


@pytest.fixture
def resumed(job: Callable[..., TrainingJob], reports: Reports) -> Callable[..., Path]:
    """Train four steps, then go on from the second; what the second training publishes.

    It fails where one bit of the published weights differs.
    """

    def check(train: Callable[[TrainingJob], None], recipe: TrainRecipe, **inputs: Path) -> Path:
        assert recipe.steps == 4
        train(job(recipe, every=2, **inputs))
        straight = load_file(reports.checkpoints.pop(4) / PUBLISHED / "model.safetensors")
        halfway = reports.checkpoints.pop(2)
        reports.folder = reports.folder / "resumed"
        train(job(recipe, every=2, resume=halfway, **inputs))
        assert list(reports.checkpoints) == [4]
        published = reports.checkpoints[4] / PUBLISHED
        again = load_file(published / "model.safetensors")
        assert straight.keys() == again.keys()
        assert all(torch.equal(straight[name], again[name]) for name in straight)
        return published

    return check


@pytest.fixture
def measured() -> CorrelationGraph:
    """A graph over the squares: one edge is drawn, the interval of the other holds 0."""
    return CorrelationGraph(
        names=ATTRIBUTES,
        adjacency=np.array([[0.0, 0.4], [-0.3, 0.0]]),
        lower=np.array([[0.0, 0.3], [-0.8, 0.0]]),
        upper=np.array([[0.0, 0.5], [0.2, 0.0]]),
        support=np.full((2, 2), 50.0),
        measure="conditional_difference",
        confidence=0.9,
        signed=True,
    )
