import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gdrl.config import TrainScale, VaeRecipe
from gdrl.data.table import load_images
from gdrl.errors import ConfigError, Diverged, TrainingFailed
from gdrl.models.beta_vae import BetaVae
from gdrl.models.discriminator import CodeDiscriminator
from gdrl.models.storage import load_model
from gdrl.tracking import MetricLog
from gdrl.training import loop, losses, vae
from gdrl.training.batches import positions_at
from gdrl.training.checkpoint import FILE, read_state
from gdrl.training.job import TrainingJob
from tests.training.weights import apart

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
    assert half != full


def test_resuming_gives_the_weights_of_an_uninterrupted_run_bit_for_bit(resumed) -> None:
    rows = list(MetricLog(resumed(vae.train, RECIPE) / "metrics.jsonl"))
    assert [row["step"] for row in rows] == [2, 4]


def test_a_loss_that_is_not_finite_names_step_images_and_checkpoint(job, reports) -> None:
    recipe = RECIPE.model_copy(update={"learning_rate": 1e6, "steps": 50})
    with pytest.raises(Diverged) as caught:
        vae.train(job(recipe, every=1))
    told = re.fullmatch(
        r"step (\d+): the loss is not finite \(.*\), on images ([\d, ]+); "
        r"last good checkpoint: step (\d+); lower recipe\.vae\.learning_rate .*",
        str(caught.value),
    )
    step = int(told[1])
    table = load_images(job(recipe).inputs["dataset"], "train")
    ids = table.ids[positions_at(step, recipe.batch_size, len(table), recipe.seed)]
    assert told[2] == ", ".join(map(str, ids))
    assert int(told[3]) == max(reports.checkpoints) == step
    assert all(np.isfinite(value).all() for value in states(reports.checkpoints[step]))


def states(checkpoint: Path) -> list[np.ndarray]:
    return [value.numpy() for value in load_file(checkpoint / FILE).values()]


def test_half_of_the_schedule_is_the_first_half_of_a_longer_training(job, reports) -> None:
    vae.train(job(RECIPE.model_copy(update={"steps": 8, "schedule": (0.0, 1.0)}), every=4))
    longer = states(reports.checkpoints[4])
    reports.folder = reports.folder / "half"
    vae.train(job(RECIPE.model_copy(update={"schedule": (0.0, 0.5)}), every=4))
    half = states(reports.checkpoints[4])
    assert all(np.array_equal(one, other) for one, other in zip(longer, half, strict=True))


def test_images_in_a_file_train_to_the_same_weights_bit_for_bit(job, reports) -> None:
    published = []
    for memory_gb in (1.0, 1e-6):
        reports.folder = reports.folder / "next"
        vae.train(job(RECIPE, image_memory_gb=memory_gb))
        published.append(load_file(reports.checkpoints[4] / "published/model.safetensors"))
    held, mapped = published
    assert all(torch.equal(held[name], mapped[name]) for name in held)


def test_parts_of_a_batch_train_to_the_same_weights(job, reports) -> None:
    vae.train(job(RECIPE))
    reports.folder = reports.folder / "parts"
    whole = load_file(reports.checkpoints[4] / "published/model.safetensors")
    vae.train(job(RECIPE, parts=4))
    parts = load_file(reports.checkpoints[4] / "published/model.safetensors")
    assert apart(parts, whole) < 1e-6


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
    told = r"recipe\.vae\.batch_size = 8 cannot be shared evenly by 3 workers; .*scale\.vae\.num_w"
    with pytest.raises(ConfigError, match=told):
        vae.train(shared)
    with pytest.raises(ConfigError, match="1 workers in 3 parts each"):
        vae.train(job(RECIPE, parts=3))


@pytest.mark.parametrize("objective", ["beta_tcvae", "factor_vae"])
def test_other_objectives_train_publish_and_resume(resumed, objective) -> None:
    published = resumed(vae.train, RECIPE.model_copy(update={"objective": objective}))
    assert load_model(published).kind == "beta_vae"
    assert "total_correlation" in list(MetricLog(published / "metrics.jsonl"))[-1]


def test_beta_tcvae_at_beta_1_is_the_vae() -> None:
    model, batch = BetaVae(6), one_batch()
    plain = vae.BetaVaeObjective(model, RECIPE.model_copy(update={"objective": "vae"}))
    sibling = vae.BetaTcVaeObjective(model, RECIPE.model_copy(update={"beta": 1.0}))
    torch.testing.assert_close(sibling(batch)["loss"], plain(batch)["loss"])


def test_encoder_and_discriminator_learn_against_each_other() -> None:
    torch.manual_seed(0)
    model, batch = BetaVae(6), one_batch()
    light, heavy = (
        vae.FactorVaeObjective(model, RECIPE.model_copy(update={"beta": beta}))
        for beta in (0.0, 50.0)
    )
    heavy.load_state_dict(light.state_dict())
    gradients = []
    for objective in (light, heavy):
        objective.zero_grad()
        objective(batch)["loss"].backward()
        gradients.append({name: p.grad.clone() for name, p in objective.named_parameters()})
    changed = {
        name for name in gradients[0] if not torch.equal(gradients[0][name], gradients[1][name])
    }
    # The weight reaches the encoder and nothing else; the discriminator learns at either.
    assert changed
    assert all(name.startswith("vae.encoder.") for name in changed)
    assert all(gradients[0][f"discriminator.layers.{i}.weight"].any() for i in (0, 12))


def test_the_discriminator_finds_the_total_correlation_of_bits() -> None:
    torch.manual_seed(0)
    judge = CodeDiscriminator(2)
    optimiser = torch.optim.Adam(judge.parameters(), lr=1e-3)
    for _ in range(40):
        codes = (torch.randint(0, 2, (128, 1)) * 2.0 - 1).expand(-1, 2)
        mixed = losses.permuted(codes, vae.draw_orders(128, 2, torch.default_generator))
        error = losses.discriminator_error(judge(codes), judge(mixed))
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
    assert judge(codes).mean().item() == pytest.approx(np.log(2), abs=0.15)


def test_objectives_of_the_whole_batch_are_refused_on_several_workers(job) -> None:
    built = job(RECIPE.model_copy(update={"objective": "beta_tcvae"}))
    with pytest.raises(
        ConfigError, match=r"objective = beta_tcvae .* and scale\.vae\.num_workers = 1"
    ):
        vae.train(replace(built, world_size=2))
    with pytest.raises(ConfigError, match=r"scale\.vae\.accumulation_steps = 1"):
        vae.train(job(built.recipe, parts=2))
    built = job(RECIPE.model_copy(update={"objective": "factor_vae"}))
    with pytest.raises(ConfigError, match="zero_stage = 3"):
        vae.train(replace(built, scale=TrainScale(zero_stage=3)))


def test_capacity_is_the_distance_of_the_kl_from_its_target() -> None:
    recipe = RECIPE.model_copy(update={"beta": 3.0, "capacity": 5.0})
    objective = vae.BetaVaeObjective(BetaVae(6), recipe)
    for kl, expected in ((7.0, 15.0), (1.5, 1.5)):
        nothing = torch.zeros(8, 6)
        posterior = vae.Posterior(nothing, nothing, nothing, torch.tensor(kl))
        pressure, _ = objective.pressure(posterior, replace(one_batch(), capacity=2.0))
        assert pressure.item() == expected


def test_a_capacity_is_refused_on_parts_of_a_batch(job) -> None:
    recipe = RECIPE.model_copy(update={"capacity": 5.0})
    with pytest.raises(ConfigError, match=r"recipe\.vae\.capacity .*scale\.vae\.num_workers = 1"):
        vae.train(replace(job(recipe), world_size=2))
    with pytest.raises(ConfigError, match=r"recipe\.vae\.capacity .*accumulation_steps = 1"):
        vae.train(job(recipe, parts=2))


def test_a_capacity_without_a_target_kl_is_refused() -> None:
    with pytest.raises(ValueError, match="factor_vae has no target KL"):
        VaeRecipe(objective="factor_vae", capacity=5.0)


def one_batch() -> vae.Batch:
    generator = torch.Generator().manual_seed(0)
    return vae.Batch(
        images=torch.rand(8, 3, 64, 64, generator=generator),
        noise=torch.randn(8, 6, generator=generator),
        orders=vae.draw_orders(8, 6, generator),
        capacity=0.0,
    )


def test_the_published_weights_are_finite_floats(job, reports) -> None:
    vae.train(job(RECIPE))
    weights = load_file(reports.checkpoints[4] / "published/model.safetensors")
    assert all(np.isfinite(value.numpy()).all() for value in weights.values())


def test_notice_of_a_machine_that_goes_is_worth_one_checkpoint(job, reports, monkeypatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY_STEPS", 1)
    asked = []

    def preempted() -> bool:
        asked.append(len(asked) + 1)
        return len(asked) >= 2

    vae.train(replace(job(RECIPE.model_copy(update={"steps": 5})), preempted=preempted))
    assert sorted(reports.checkpoints) == [2, 5]
    assert asked == [1, 2, 3, 4, 5]
    noticed = read_state(reports.checkpoints[2])
    assert noticed.step == 2


def test_every_number_of_workers_that_may_come_must_share_a_batch(job) -> None:
    elastic = TrainScale(min_workers=2, num_workers=4)
    recipe = RECIPE.model_copy(update={"batch_size": 8})
    told = r"evenly by 3 workers; set recipe\.vae\.batch_size, scale\.vae\.min_workers, scale"
    with pytest.raises(ConfigError, match=told):
        vae.train(replace(job(recipe), scale=elastic, world_size=4))


def test_a_term_of_whole_batches_takes_no_second_worker_later_either(job) -> None:
    elastic = TrainScale(min_workers=1, num_workers=2)
    recipe = RECIPE.model_copy(update={"objective": "beta_tcvae"})
    with pytest.raises(ConfigError, match=r"scale\.vae\.num_workers = 1"):
        vae.train(replace(job(recipe), scale=elastic))
