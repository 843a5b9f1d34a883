"""Runs that are killed and go on: every rank is a process, and one is killed for real."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gdrl.config import EncodersRecipe, TrainRecipe, UnmixingRecipe
from gdrl.models.image_answer_encoders import ImageAnswerEncoders
from gdrl.models.storage import save_model
from gdrl.tracking import MetricLog
from tests.training.ranks import EVERY, RECIPE, Ranks, latest, train
from tests.training.squares import write_scores
from tests.training.weights import apart


def published(ranks: Ranks) -> dict[str, Tensor]:
    """The weights of a run that reached its end."""
    assert latest(ranks.checkpoints).name == f"step-{RECIPE.steps}"
    return load_file(latest(ranks.checkpoints) / "published/model.safetensors")


def losses(ranks: Ranks) -> list[float]:
    rows = list(MetricLog(latest(ranks.checkpoints) / "published/metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(EVERY, RECIPE.steps + 1, EVERY))
    return [row["loss"] for row in rows]


@pytest.mark.parametrize(
    ("zero_stage", "num_workers", "killed_at"),
    [(0, 1, 1), (1, 1, 3), (2, 1, 5), (0, 2, 3), (1, 2, 5), (2, 2, 3)],
)
def test_a_killed_run_ends_in_the_weights_of_one_that_was_not_bit_for_bit(
    dataset: Path, tmp_path: Path, zero_stage: int, num_workers: int, killed_at: int
) -> None:
    straight = Ranks({"dataset": dataset}, tmp_path / "straight", num_workers, zero_stage)
    assert train(straight)
    killed = replace(straight, checkpoints=tmp_path / "killed", killed_at=killed_at)
    assert not train(killed)
    kept = latest(killed.checkpoints)
    assert kept is None or kept.name == f"step-{killed_at // EVERY * EVERY}"
    assert train(replace(killed, killed_at=None))
    assert losses(killed) == losses(straight)
    weights = published(killed)
    assert all(torch.equal(weights[name], value) for name, value in published(straight).items())


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_workers_goes_on_to_the_same_loss(
    dataset: Path, tmp_path: Path, before: int, after: int
) -> None:
    """Within 1e-4: the order of sums is all that differs."""
    straight = Ranks({"dataset": dataset}, tmp_path / "straight", before)
    assert train(straight)
    killed = replace(straight, checkpoints=tmp_path / "killed", zero_stage=1, killed_at=3)
    assert not train(killed)
    assert train(replace(killed, num_workers=after, zero_stage=2, killed_at=None))
    assert losses(killed) == pytest.approx(losses(straight), rel=1e-4)


@pytest.mark.parametrize(
    "recipe",
    [
        EncodersRecipe(feature_dim=8, steps=6, batch_size=16),
        UnmixingRecipe(latent_dim=4, steps=6, batch_size=16),
    ],
    ids=["encoders", "components"],
)
def test_two_ranks_train_pairs_and_components_as_one_does(
    dataset: Path, tmp_path: Path, recipe: TrainRecipe
) -> None:
    """Each image is told from the other rank's too, and both ranks find the same components."""
    write_scores(tmp_path, dataset)
    torch.manual_seed(0)
    save_model(ImageAnswerEncoders(2, 8, "conv", 64), tmp_path / "encoders")
    inputs = {"dataset": dataset, "scores": tmp_path, "encoders": tmp_path / "encoders"}
    one, two = (Ranks(inputs, tmp_path / str(number), number, recipe=recipe) for number in (1, 2))
    assert train(one)
    assert train(two)
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    assert apart(published(two), published(one)) < 1e-5
