from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gdrl.config import VaeRecipe
from gdrl.errors import ConfigError, TrainingFailed
from gdrl.models.storage import load_model
from gdrl.tracking import MetricLog
from gdrl.training import vae
from gdrl.training.job import TrainingJob

RECIPE = VaeRecipe(latent_dim=6, steps=4, batch_size=8, precision="fp32")


def test_a_run_reports_and_publishes_a_model_that_loads(job, reports) -> None:
    vae.train(job(RECIPE, every=3))
    assert sorted(reports.checkpoints) == [3, 4]
    published = reports.checkpoints[4] / "published"
    assert not (reports.checkpoints[3] / "published").exists()
    assert load_model(published).latent_dim == 6
    rows = list(MetricLog(published / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [3, 4]
    assert {"loss", "reconstruction", "kl", "images_per_second", "seconds"} <= set(rows[0])


def test_bf16_stays_close_to_fp32(job, reports) -> None:
    vae.train(job(RECIPE))
    reports.folder = reports.folder / "bf16"
    vae.train(job(RECIPE.model_copy(update={"precision": "bf16"})))
    full, half = (metrics["reconstruction"] for _, metrics in reports.rows)
    assert half == pytest.approx(full, rel=0.02)


def test_resuming_gives_the_weights_of_an_uninterrupted_run_bit_for_bit(job, reports) -> None:
    vae.train(job(RECIPE, every=2))
    straight = load_file(reports.checkpoints.pop(4) / "published/model.safetensors")
    halfway = reports.checkpoints.pop(2)
    reports.folder = reports.folder / "resumed"
    vae.train(job(RECIPE, every=2, resume=halfway))
    assert list(reports.checkpoints) == [4]
    resumed = load_file(reports.checkpoints[4] / "published/model.safetensors")
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    rows = list(MetricLog(reports.checkpoints[4] / "published/metrics.jsonl"))
    assert [row["step"] for row in rows] == [2, 4]


def test_a_loss_that_is_not_finite_names_its_step(job) -> None:
    with pytest.raises(TrainingFailed, match=r"step \d+: the loss is not finite"):
        vae.train(job(RECIPE.model_copy(update={"learning_rate": 1e6, "steps": 50})))


def test_a_folder_without_a_checkpoint_is_refused(job, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="not a checkpoint"):
        vae.train(job(RECIPE, resume=tmp_path))


def test_workers_that_cannot_share_a_batch_are_refused(
    job: Callable[..., TrainingJob],
) -> None:
    built = job(RECIPE)
    shared = TrainingJob(
        built.recipe, built.scale, built.inputs, rank=0, world_size=3, report=built.report
    )
    with pytest.raises(ConfigError, match="batch_size = 8"):
        vae.train(shared)


def test_the_published_weights_are_finite_floats(job, reports) -> None:
    vae.train(job(RECIPE))
    weights = load_file(reports.checkpoints[4] / "published/model.safetensors")
    assert all(np.isfinite(value.numpy()).all() for value in weights.values())
