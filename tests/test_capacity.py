import json
from pathlib import Path

import pytest
from small_artifact import describe

from gdrl import capacity, cli, settings
from gdrl.artifacts import LocalStore, Run
from gdrl.capacity import (
    BOOT_SECONDS,
    IDLE_SECONDS,
    Rates,
    Work,
    best,
    candidates,
    scoring_seconds,
    simulate,
    training_seconds,
)
from gdrl.config import Prices, RunConfig
from gdrl.errors import ArtifactMissing, ConfigError

WORK = Work(
    1_000_000, vae_steps=10_000, vae_batch=128, joint_steps=1_000, joint_batch=128, request=16
)
RATES = Rates(replica=4.0, vae=400.0, joint=200.0)


def test_one_replica_takes_as_long_as_its_images() -> None:
    sent = 16 * capacity.SENDING_SECONDS  # before it can begin
    assert scoring_seconds(160, 16, rate=4.0, replicas=1) == pytest.approx(40 + sent)


def test_ten_requests_at_four_replicas_are_three_rounds() -> None:
    assert scoring_seconds(160, 16, rate=4.0, replicas=4) == pytest.approx(12, abs=0.2)


def test_replicas_without_end_wait_for_who_sends() -> None:
    sent = 100_000 * capacity.SENDING_SECONDS
    assert scoring_seconds(100_000, 16, rate=1_000.0, replicas=256) == pytest.approx(sent, rel=0.01)


def test_a_step_is_shared_and_pays_for_it() -> None:
    assert training_seconds(100, 128, rate=64.0, trainers=1) == 200
    shared = training_seconds(100, 128, rate=64.0, trainers=4)
    assert shared == pytest.approx(50 + 100 * capacity.SYNC_SECONDS)


def test_replicas_pay_until_training_is_what_is_waited_for() -> None:
    splits = [simulate(WORK, RATES, Prices(), 1, replicas) for replicas in (1, 64, 128, 256)]
    assert [split.waits_for for split in splits] == ["MLLM", "MLLM", "training", "training"]
    assert splits[0].seconds > 30 * splits[1].seconds
    assert splits[2].seconds == splits[3].seconds
    assert splits[2].dollars < splits[3].dollars


def test_who_is_idle_for_long_is_not_paid_for() -> None:
    only_trainers = Prices(head=0, cpu=0, mllm=0, trainer=3600)
    (few, many) = (simulate(WORK, RATES, only_trainers, 1, replicas) for replicas in (1, 256))
    waited = IDLE_SECONDS + 2 * BOOT_SECONDS  # gone after a while, and come again
    assert few.dollars - many.dollars == pytest.approx(waited, abs=1)


def test_a_budget_is_kept_and_more_of_it_is_never_slower() -> None:
    splits = candidates(WORK, RATES, Prices())
    chosen = [best(splits, budget) for budget in (36, 45, 400)]
    assert all(c.dollars <= budget for c, budget in zip(chosen, (36, 45, 400), strict=True))
    seconds = [each.seconds for each in chosen]
    assert seconds == sorted(seconds, reverse=True)
    assert chosen[0] != chosen[2]
    with pytest.raises(ConfigError, match=r"--budget 1 pays for no split.*the cheapest costs"):
        best(splits, 1)


def test_trainers_share_both_batches_evenly() -> None:
    work = Work(100, vae_steps=10, vae_batch=48, joint_steps=10, joint_batch=32, request=16)
    assert {split.trainers for split in candidates(work, RATES, Prices())} == {1, 2, 4, 8, 16}


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A run of two replicas that asked about 80 of 100 images, everything in 10 s."""
    run = Run(LocalStore(tmp_path / "runs"), "small")
    scale = {"mllm": {"num_replicas": 2}, "vae": {"num_workers": 2}}
    recipe = {"vae": {"steps": 50, "batch_size": 32}, "disgraph": {"steps": 10, "batch_size": 32}}
    config = RunConfig.model_validate({"name": "small", "scale": scale, "recipe": recipe})
    number = run.attempt(config.model_dump(mode="json"))
    scores = {"num_images": 100, "num_known": 40, "attributes": ["hat", "smile"]}
    for artifact, stage in (("scores", "score_images"), ("vae", "train_vae")):
        out = run.begin(artifact, stage)
        (out.path / "scores.json").write_text(json.dumps(scores))
        run.commit(out, describe(out, number).model_copy(update={"stage": stage, "seconds": 10.0}))
    return tmp_path


def plan(folder: Path, *arguments: str) -> None:
    recipe = folder / "recipe.toml"
    recipe.write_text(f'name = "large"\nstorage = "{folder / "runs"}"\n')
    cli.gdrl(["plan", str(recipe), *arguments])


def test_rates_come_from_a_finished_run(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(LocalStore(measured / "runs"), "small")
    with pytest.raises(ArtifactMissing, match=r"'small' has no disgraph.*--measured"):
        capacity.measured(run)
    out = run.begin("disgraph", "train_graph")
    (out.path / "model.json").write_text("{}")
    done = describe(out, "0001").model_copy(update={"stage": "train_graph", "seconds": 10.0})
    run.commit(out, done)
    assert capacity.measured(run) == Rates(replica=4.0, vae=80.0, joint=32.0)

    with pytest.raises(SystemExit, match="0"):
        plan(measured, "recipe.scores.num_images=1000000", "--budget", "90", "--measured", "small")
    told = capsys.readouterr().out
    suggested = told.splitlines()[-1]
    assert told.count("<-") == 1
    config = settings.load(measured / "recipe.toml", suggested.split())
    assert config.scale.mllm.num_replicas > 1
    assert config.scale.stream.max_in_flight == 2 * 16 * config.scale.mllm.num_replicas


def test_replicas_that_came_and_went_have_no_rate(tmp_path: Path) -> None:
    run = Run(LocalStore(tmp_path / "runs"), "small")
    config = RunConfig.model_validate({"scale": {"mllm": {"max_replicas": 4}}})
    number = run.attempt(config.model_dump(mode="json"))
    out = run.begin("scores", "score_images")
    run.commit(out, describe(out, number).model_copy(update={"stage": "score_images"}))
    with pytest.raises(ConfigError, match=r"'small' was Serve's.*scale\.mllm\.max_replicas=0"):
        capacity.measured(run)


def test_a_run_that_is_not_there_is_said(measured: Path) -> None:
    with pytest.raises(SystemExit, match="no run 'large'"):
        plan(measured, "--budget", "90")


def test_training_that_waits_for_the_answers_is_not_simulated(measured: Path) -> None:
    with pytest.raises(SystemExit, match=r"recipe\.extractor = contrastive_ica waits"):
        plan(measured, "--budget", "90", "recipe.extractor=contrastive_ica")
