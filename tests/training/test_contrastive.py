import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gdrl.config import ContrastiveRecipe, PairedLatentsRecipe
from gdrl.errors import ConfigError
from gdrl.models.pair_encoders import PairEncoders
from gdrl.tracking import MetricLog
from gdrl.training import contrastive
from gdrl.training.contrastive import (
    Contrast,
    PairObjective,
    PairWorld,
    score,
    temperature_at,
    train,
)

SPHERE = PairedLatentsRecipe(dim=2, private_dim=1)
BALL = PairedLatentsRecipe(dim=3, private_dim=0)
BOX = PairedLatentsRecipe(
    space="box", dim=2, private_dim=1, conditional="laplace", conditional_scale=0.05
)
RECIPE = ContrastiveRecipe(latents=SPHERE, steps=4, batch_size=64)


@pytest.fixture(autouse=True)
def few_final_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "FINAL_PAIRS", 2_000)


def test_a_run_is_scored_and_published(job, reports) -> None:
    train(job(RECIPE))
    step, metrics = reports.rows[-1]
    assert step == 4
    assert {"loss", "r2", "mcc", "r2_private"} <= set(metrics)
    published = reports.checkpoints[4] / "published"
    encoders = PairEncoders(3, 2, "sphere")
    encoders.load_state_dict(load_file(published / "model.safetensors"))
    logged = list(MetricLog(published / "metrics.jsonl"))[-1]
    assert logged["step"] == 4
    assert {name: logged[name] for name in ("r2", "mcc", "r2_private")} == {
        name: metrics[name] for name in ("r2", "mcc", "r2_private")
    }
    scores = score(encoders, PairWorld.of(SPHERE), 2_000)
    assert scores["r2"] == pytest.approx(metrics["r2"])


def test_parts_of_a_batch_are_refused(job) -> None:
    told = r"scale\.contrastive\.accumulation_steps = 1, or raise scale\.contrastive\.num_workers"
    with pytest.raises(ConfigError, match=told):
        train(job(RECIPE, parts=2))


def test_resuming_gives_the_weights_of_an_uninterrupted_run(resumed) -> None:
    resumed(train, RECIPE)


@pytest.mark.parametrize(("latents", "score_name", "steps"), [(BALL, "r2", 450), (BOX, "mcc", 900)])
def test_matched_settings_recover_the_latents(latents, score_name, steps, job, reports) -> None:
    recipe = ContrastiveRecipe(
        latents=latents,
        encoder_space=latents.space,
        temperature=latents.conditional_scale,
        steps=steps,
        batch_size=256,
    )
    train(job(recipe))
    _, metrics = reports.rows[-1]
    assert metrics[score_name] > 0.9
    assert metrics["loss"] < math.log(256) - 1
    assert metrics.get("r2_private", 0.0) < 0.2


@pytest.mark.parametrize("space", ["sphere", "box", "unbounded"])
def test_codes_live_in_the_space_that_was_asked_for(space: str) -> None:
    torch.manual_seed(0)
    encoders = PairEncoders(4, 3, space)
    first, second = encoders(*(100 * torch.randn(2, 50, 4)))
    for codes in (first, second):
        if space == "sphere":
            torch.testing.assert_close(codes.norm(dim=1), torch.ones(50))
        elif space == "box":
            assert (codes >= 0).all()
            assert (codes <= encoders.head.bound).all()
        else:
            assert codes.abs().max() > 10


def test_encoders_see_whitened_observations(job, reports) -> None:
    train(job(RECIPE))
    encoders = PairEncoders(3, 2, "sphere")
    weights = load_file(reports.checkpoints[4] / "published/model.safetensors")
    encoders.load_state_dict(weights)
    observed = PairWorld.of(SPHERE).held_out(20_000)[1]
    for encoder, rows in zip((encoders.first, encoders.second), observed, strict=True):
        white = (rows - encoder.mean) @ encoder.whitening
        torch.testing.assert_close(white.mean(dim=0), torch.zeros(3), atol=0.05, rtol=0)
        torch.testing.assert_close(torch.cov(white.T), torch.eye(3), atol=0.1, rtol=0)


def test_temperature_falls_in_equal_ratios_over_half_the_steps() -> None:
    recipe = ContrastiveRecipe(steps=100, temperature=0.04)
    temperatures = [temperature_at(step, recipe) for step in (0, 25, 50, 99)]
    assert temperatures == pytest.approx([1.0, 0.2, 0.04, 0.04])
    warmer = recipe.model_copy(update={"temperature": 2.0})
    assert {temperature_at(step, warmer) for step in (0, 25, 99)} == {2.0}


def test_encoders_share_no_weight_and_bounds_are_learned() -> None:
    recipe = RECIPE.model_copy(update={"encoder_space": "box"})
    objective = PairObjective(PairEncoders(3, 2, "box"), recipe)
    objective(Contrast(PairWorld.of(BOX).batch(0, 32, 0), 0.1))["loss"].backward()
    gradients = {name: p.grad for name, p in objective.encoders.named_parameters()}
    assert all(gradient.any() for gradient in gradients.values())
    assert not torch.equal(gradients["first.layers.0.weight"], gradients["second.layers.0.weight"])
    assert gradients["head.bound"].shape == (2,)


def test_steps_seeds_and_held_out_pairs_differ() -> None:
    world = PairWorld.of(SPHERE)
    same, again, later = (world.batch(step, 16, 0).first for step in (0, 0, 1))
    assert torch.equal(same, again)
    assert not torch.equal(same, later)
    assert not torch.equal(same, world.batch(0, 16, 1).first)
    assert not torch.equal(same, world.held_out(16)[1].first)
    other = PairWorld.of(SPHERE.model_copy(update={"seed": 1}))
    assert not np.array_equal(world.mixings[0].weights[0], other.mixings[0].weights[0])
    assert not np.array_equal(world.mixings[0].weights[0], world.mixings[1].weights[0])
