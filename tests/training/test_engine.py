from pathlib import Path

import pytest
import torch
from torch import nn

from gdrl.config import TrainScale
from gdrl.errors import TrainingFailed
from gdrl.training.engine import GRADIENT_CLIPPING, Engine, deepspeed_config
from gdrl.training.job import TrainingJob

RATE = 0.01


class Line(nn.Module):
    """Least squares, with the loss that an engine expects."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> dict[str, torch.Tensor]:
        x, y = batch
        return {"loss": (self.layers(x).squeeze(1) - y).square().mean()}


def line_job(zero_stage: int = 2) -> TrainingJob:
    scale = TrainScale(zero_stage=zero_stage)
    return TrainingJob(
        recipe=scale, scale=scale, inputs={}, rank=0, world_size=1, report=lambda *_: None
    )


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(6, 4, 3, generator=generator)
    return [(x, x.sum(dim=1)) for x in inputs]


def bare_losses(batches: list[tuple[torch.Tensor, torch.Tensor]]) -> list[float]:
    model = Line()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for batch in batches:
        loss = model(batch)["loss"]
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIPPING)
        adam.step()
    return losses


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_every_zero_stage_trains_like_a_bare_loop(batches, zero_stage: int) -> None:
    engine = Engine(Line(), line_job(zero_stage), batch_size=4, precision="fp32")
    losses = [engine.step(batch, RATE)["loss"] for batch in batches]
    assert losses == pytest.approx(bare_losses(batches), rel=1e-5)


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_weights_are_whole_and_named_as_in_the_module(zero_stage: int) -> None:
    engine = Engine(Line(), line_job(zero_stage), batch_size=4, precision="fp32")
    weights = engine.weights()
    assert set(weights) == set(Line().state_dict())
    for name, value in Line().state_dict().items():
        torch.testing.assert_close(weights[name], value)


def test_a_restored_engine_goes_on_exactly(batches, tmp_path: Path) -> None:
    engine = Engine(Line(), line_job(), batch_size=4, precision="fp32")
    for batch in batches[:3]:
        engine.step(batch, RATE)
    engine.save(tmp_path, {"step": 3})
    straight = [engine.step(batch, RATE)["loss"] for batch in batches[3:]]
    restored = Engine(Line(), line_job(), batch_size=4, precision="fp32")
    assert restored.load(tmp_path)["step"] == 3
    assert [restored.step(batch, RATE)["loss"] for batch in batches[3:]] == straight


def test_a_checkpoint_of_another_number_of_workers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"step": 3, "world_size": 2}')
    engine = Engine(Line(), line_job(), batch_size=4, precision="fp32")
    with pytest.raises(TrainingFailed, match="written by 2 workers"):
        engine.load(tmp_path)


def test_a_checkpoint_that_deepspeed_cannot_find_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"step": 3, "world_size": 1}')
    engine = Engine(Line(), line_job(), batch_size=4, precision="fp32")
    with pytest.raises(TrainingFailed, match="nothing to load"):
        engine.load(tmp_path)


def test_a_loss_that_is_not_finite_leaves_the_weights_alone(batches) -> None:
    engine = Engine(Line(), line_job(), batch_size=4, precision="fp32")
    x, y = batches[0]
    with pytest.raises(TrainingFailed, match="not finite"):
        engine.step((x, y * float("nan")), RATE)
    for name, value in Line().state_dict().items():
        torch.testing.assert_close(engine.weights()[name], value)


def test_the_configuration_says_no_more_than_recipe_and_scale() -> None:
    config = deepspeed_config(TrainScale(zero_stage=1), micro_batch_size=16)
    assert config["train_micro_batch_size_per_gpu"] == 16
    assert config["zero_optimization"]["stage"] == 1
    assert config["gradient_clipping"] == GRADIENT_CLIPPING
