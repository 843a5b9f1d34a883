import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from gdrl.config import TrainScale, VaeRecipe
from gdrl.errors import Diverged, TrainingFailed
from gdrl.training.batches import parts_of, share
from gdrl.training.checkpoint import FILE
from gdrl.training.engine import Engine, deepspeed_config
from gdrl.training.job import TrainingJob

RATE = 0.01
CLIPPING = 0.5
RECIPE = VaeRecipe(batch_size=4, gradient_clipping=CLIPPING)

AUTOCAST = torch.is_autocast_enabled

Batch = tuple[torch.Tensor, torch.Tensor]


class Line(nn.Module):
    """Least squares, with the loss that an engine expects."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        x, y = batch
        return {"loss": (self.layers(x).squeeze(1) - y).square().mean()}


def line_job(zero_stage: int = 2, accumulation_steps: int = 1) -> TrainingJob:
    scale = TrainScale(zero_stage=zero_stage, accumulation_steps=accumulation_steps)
    return TrainingJob(
        recipe=RECIPE, scale=scale, inputs={}, rank=0, world_size=1, report=lambda *_: None
    )


def line_engine(job: TrainingJob | None = None) -> Engine:
    return Engine(Line(), job or line_job())


def train(engine: Engine, batches: list[Batch]) -> list[float]:
    return [engine.step([batch], RATE)["loss"] for batch in batches]


@pytest.fixture
def batches() -> list[Batch]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(6, 4, 3, generator=generator)
    return [(x, x.sum(dim=1)) for x in inputs]


def bare_losses(batches: list[Batch]) -> list[float]:
    model = Line()
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    losses = []
    for batch in batches:
        loss = model(batch)["loss"]
        losses.append(loss.item())
        adam.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), CLIPPING)
        assert norm > CLIPPING, "or the test would not show clipping"
        adam.step()
    return losses


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_every_zero_stage_trains_and_clips_like_a_bare_loop(batches, zero_stage: int) -> None:
    losses = train(line_engine(line_job(zero_stage)), batches)
    assert losses == pytest.approx(bare_losses(batches), rel=1e-5)


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_batch_in_parts_is_the_same_optimisation(batches, zero_stage: int) -> None:
    job = line_job(zero_stage, accumulation_steps=2)
    engine = line_engine(job)
    losses = []
    for x, y in batches:
        parts = [(share(part, x), share(part, y)) for part in parts_of(job)]
        losses.append(engine.step(parts, RATE)["loss"])
    assert losses == pytest.approx(bare_losses(batches), rel=1e-5)


class Watched(Line):
    """Notes whether its forward pass is in half precision."""

    half: bool

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        self.half = AUTOCAST("cpu")
        return super().forward(batch)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_precision_reaches_the_objective_where_deepspeed_ends_autocast(
    batches, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    objective = Watched()
    recipe = RECIPE.model_copy(update={"precision": precision})
    engine = Engine(objective, replace(line_job(), recipe=recipe))
    # As on a GPU: asked of no device in particular, torch answers for CUDA.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *of: AUTOCAST(*of) if of else True)
    train(engine, batches[:1])
    assert objective.half is (precision == "bf16")
    assert not AUTOCAST("cpu")


@pytest.mark.parametrize("zero_stage", [2, 3])
def test_weights_are_whole_and_named_as_in_the_module(zero_stage: int) -> None:
    weights = line_engine(line_job(zero_stage)).weights()
    assert set(weights) == set(Line().state_dict())
    for name, value in Line().state_dict().items():
        torch.testing.assert_close(weights[name], value)


@pytest.mark.parametrize(
    ("wrote", "reads"), [(0, 0), (1, 1), (2, 2), (3, 3), (0, 2), (2, 0), (3, 1), (1, 3)]
)
def test_an_engine_goes_on_exactly_from_what_any_zero_stage_wrote(
    batches, tmp_path: Path, wrote: int, reads: int
) -> None:
    engine = line_engine(line_job(wrote))
    train(engine, batches[:3])
    engine.state().save(tmp_path)
    straight = train(engine, batches[3:])
    restored = line_engine(replace(line_job(reads), resume=tmp_path))
    assert restored.steps_done == 3
    resumed = train(restored, batches[3:])
    assert resumed == (straight if wrote == reads else pytest.approx(straight, rel=1e-6))


def test_a_state_before_the_first_step_can_be_gone_on_from(batches, tmp_path: Path) -> None:
    line_engine().state().save(tmp_path)
    restored = line_engine(replace(line_job(), resume=tmp_path))
    assert train(restored, batches) == train(line_engine(), batches)


def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    line_engine().state().save(tmp_path)
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-9])
    with pytest.raises(TrainingFailed, match="is damaged"):
        line_engine(replace(line_job(), resume=tmp_path))


def test_a_checkpoint_of_another_module_is_refused(tmp_path: Path) -> None:
    line_engine().state().save(tmp_path)
    with pytest.raises(TrainingFailed, match="state of another module"):
        Engine(nn.Linear(3, 1), replace(line_job(), resume=tmp_path))


def test_a_loss_that_is_not_finite_leaves_the_weights_alone(batches) -> None:
    engine = line_engine()
    x, y = batches[0]
    with pytest.raises(Diverged, match="loss is not finite"):
        engine.step([(x, y * float("nan"))], RATE)
    for name, value in Line().state_dict().items():
        torch.testing.assert_close(engine.weights()[name], value)


def test_a_state_that_is_not_finite_is_no_checkpoint(batches) -> None:
    engine = line_engine()
    engine.step([batches[0]], float("inf"))
    with pytest.raises(Diverged, match=r"state is not finite \(weights/layers"):
        engine.state()


def test_the_configuration_says_no_more_than_recipe_and_scale() -> None:
    recipe = VaeRecipe(batch_size=64, gradient_clipping=3.0)
    job = replace(line_job(zero_stage=1, accumulation_steps=2), recipe=recipe, world_size=2)
    config = deepspeed_config(job)
    assert config["train_micro_batch_size_per_gpu"] == 16
    assert config["gradient_accumulation_steps"] == 2
    assert config["zero_optimization"]["stage"] == 1
    assert config["gradient_clipping"] == 3.0


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another malloc's settings")
def test_a_step_reuses_the_memory_of_the_one_before() -> None:
    script = Path(__file__).parent / "faulting_steps.py"
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    plain, in_engine = json.loads(printed.stdout.splitlines()[-1])
    assert in_engine < plain / 10
