from collections.abc import Callable, Mapping
from typing import Any

import pytest

from fake_stages import STAGES
from gdrl.artifacts import LocalStore, Run
from gdrl.config import Extractor, RunConfig
from gdrl.errors import ArtifactDrift, ArtifactMissing, ConfigError
from gdrl.pipeline import (
    EXTRACTORS,
    Change,
    as_set,
    dependents,
    diff,
    extracted_by,
    plan,
    recipe_diff,
    refuse_drift,
    select,
    stages_of,
)

Configure = Callable[..., RunConfig]
RunFakes = Callable[..., None]


def actions(config: RunConfig, store: LocalStore) -> dict[str, str]:
    return {d.stage.artifact: d.action for d in plan(config, store, STAGES)}


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_every_stage_comes_after_what_it_needs(extractor: Extractor) -> None:
    made: set[str] = set()
    for stage in stages_of(extractor):
        assert made.issuperset(stage.needs)
        made.add(stage.artifact)


@pytest.mark.parametrize("extractor", EXTRACTORS)
def test_every_section_that_a_stage_reads_exists(extractor: Extractor, store: LocalStore) -> None:
    recipe = {"extractor": extractor, "graph": {"interval_width": 0.1}}
    config = RunConfig.model_validate({"recipe": recipe})
    for decision in plan(config, store):
        assert set(decision.recipe) == set(decision.stage.reads)


def test_what_stops_the_questions_counts_only_where_it_can_stop_them(store: LocalStore) -> None:
    config = RunConfig.model_validate({"recipe": {"graph": {"confidence": 0.8}}})
    scores = {d.stage.artifact: d.fingerprint for d in plan(config, store)}["scores"]
    assert scores == {d.stage.artifact: d.fingerprint for d in plan(RunConfig(), store)}["scores"]


def test_drift_of_what_stops_the_questions_names_what_is_set(store: LocalStore) -> None:
    def recipe(**graph: object) -> Mapping[str, Any]:
        config = RunConfig.model_validate({"recipe": {"graph": graph}})
        (scores,) = [d for d in plan(config, store) if d.stage.artifact == "scores"]
        return scores.recipe

    asked_all, stopped = recipe(), recipe(interval_width=0.1)
    assert recipe_diff(asked_all, stopped) == [Change("recipe.graph.interval_width", 0.0, 0.1)]
    surer = recipe(interval_width=0.1, confidence=0.95)
    assert recipe_diff(stopped, surer) == [Change("recipe.graph.confidence", 0.9, 0.95)]
    assert "recipe.graph" in as_set(stopped)


def test_every_recipe_section_is_read_by_a_stage_or_the_study() -> None:
    read = {section for name in EXTRACTORS for stage in stages_of(name) for section in stage.reads}
    fields = type(RunConfig().recipe).model_fields
    of_the_study = {"recipe.contrastive", "recipe.study"}  # jobs/lpcm_study.py is no pipeline
    assert read == {f"recipe.{name}" for name in fields} - of_the_study | {"recipe.stopping"}


def test_training_and_scoring_do_not_wait_for_each_other() -> None:
    stages = stages_of("beta_vae")
    assert "scores" not in dependents("vae", stages)
    assert "vae" not in dependents("scores", stages)
    assert dependents("vae", stages) == {"vae", "names", "disgraph", "evaluation", "report"}


def test_contrastive_pairs_wait_for_the_answers_and_the_graph_does_not_wait_for_them() -> None:
    stages = stages_of("contrastive_ica")
    assert {"encoders", "components", "names"} <= dependents("scores", stages)
    assert "graph" not in dependents("encoders", stages)
    names = {stage.artifact: stage for stage in stages}["names"]
    assert extracted_by("contrastive_ica") == "components"
    assert names.needs == ("dataset", "components", "scores")


def test_another_extractor_drifts_by_its_own_name(store: LocalStore) -> None:
    def recipe(extractor: str) -> Mapping[str, Any]:
        config = RunConfig.model_validate({"recipe": {"extractor": extractor}})
        (names,) = [d for d in plan(config, store) if d.stage.artifact == "names"]
        return names.recipe

    changed = recipe_diff(recipe("beta_vae"), recipe("contrastive_ica"))
    assert changed == [Change("recipe.extractor", "beta_vae", "contrastive_ica")]


def test_an_artifact_of_another_extractor_names_the_setting(store: LocalStore) -> None:
    config = RunConfig.model_validate({"recipe": {"extractor": "contrastive_ica"}})
    decisions = plan(config, store)
    with pytest.raises(ConfigError, match=r"not made with this recipe\.extractor, but by beta_vae"):
        select("vae", decisions)


def test_a_new_run_is_all_to_do(configure: Configure, store: LocalStore) -> None:
    assert set(actions(configure(), store).values()) == {"run"}


def test_a_finished_run_is_skipped_and_scale_does_not_matter(
    configure: Configure, store: LocalStore, run_fakes: RunFakes
) -> None:
    config = configure()
    run_fakes(config)
    wider = config.scale.vae.model_copy(update={"num_workers": 4})
    config = config.model_copy(update={"scale": config.scale.model_copy(update={"vae": wider})})
    assert set(actions(config, store).values()) == {"skip"}


def test_a_changed_section_drifts_with_what_was_made_from_it(
    configure: Configure, store: LocalStore, run_fakes: RunFakes
) -> None:
    run_fakes(configure(vae={"beta": 4.0, "steps": 5}))
    decisions = plan(configure(vae={"beta": 8.0, "steps": 7}), store, STAGES)
    assert {d.stage.artifact: d.action for d in decisions} == {
        "dataset": "skip",
        "vae": "drift",
        "scores": "skip",
        "graph": "skip",
        "report": "drift",
    }
    assert [str(change) for change in decisions[1].changes] == [
        "recipe.vae.steps: 5 -> 7",
        "recipe.vae.beta: 4.0 -> 8.0",
    ]
    with pytest.raises(ArtifactDrift) as caught:
        refuse_drift(decisions)
    message = str(caught.value)
    assert "vae  recipe.vae.beta: 4.0 -> 8.0" in message
    assert "what was made from that: report" in message
    assert "name=" in message
    assert "--overwrite" in message


def test_what_is_not_made_yet_is_blocked_by_drift(
    configure: Configure, store: LocalStore, run_fakes: RunFakes
) -> None:
    run_fakes(configure())
    Run(store, "demo").discard("report", "report")
    assert actions(configure(vae={"beta": 8.0}), store)["report"] == "blocked"


def test_the_embedded_model_counts_by_its_revision(store: LocalStore) -> None:
    decisions = {d.stage.artifact: d for d in plan(RunConfig(), store)}
    assert decisions["scores"].recipe["recipe.mllm"]["revision"]
    assert "recipe.mllm" not in decisions["vae"].recipe
    endpoint = {"recipe": {"mllm": {"endpoint": "http://host:1/v1"}}}
    served = {d.stage.artifact: d for d in plan(RunConfig.model_validate(endpoint), store)}
    assert "revision" not in served["scores"].recipe["recipe.mllm"]


def test_finished_artifacts_can_be_borrowed(
    configure: Configure, store: LocalStore, run_fakes: RunFakes
) -> None:
    run_fakes(configure("lender", vae={"beta": 8.0}))
    borrower = configure("borrower", inputs={"vae": "lender"})
    decisions = {d.stage.artifact: d for d in plan(borrower, store, STAGES)}
    assert (decisions["vae"].action, decisions["vae"].run) == ("skip", "lender")
    assert decisions["report"].inputs["vae"] == Run(store, "lender").finished("vae").fingerprint
    run_fakes(borrower)
    assert store.names("borrower") == ["attempts", "dataset", "graph", "report", "scores"]


def test_borrowing_what_does_not_exist_is_refused(configure: Configure, store: LocalStore) -> None:
    with pytest.raises(ArtifactMissing, match="run 'lender' has no finished vae"):
        plan(configure(inputs={"vae": "lender"}), store, STAGES)
    with pytest.raises(ConfigError, match=r"inputs\.vea: no such artifact; there is vae"):
        plan(configure(inputs={"vea": "lender"}), store, STAGES)


def test_one_artifact_needs_its_ancestors_finished(
    configure: Configure, store: LocalStore, run_fakes: RunFakes
) -> None:
    decisions = plan(configure(), store, STAGES)
    with pytest.raises(ArtifactMissing, match=r"run jobs/prepare_data\.py, jobs/score_images\.py"):
        select("graph", decisions)
    run_fakes(configure(), artifact="dataset")
    run_fakes(configure(), artifact="scores")
    chosen = select("graph", plan(configure(), store, STAGES))
    assert [(d.stage.artifact, d.action) for d in chosen] == [
        ("dataset", "skip"),
        ("scores", "skip"),
        ("graph", "run"),
    ]


def test_a_diff_names_leaves() -> None:
    old = {"a": 1, "b": {"c": [1, 2], "d": "x"}, "gone": True}
    new = {"a": 1, "b": {"c": [1, 3], "d": "x"}, "new": {"e": 0}}
    assert diff(old, new) == [
        Change("b.c", [1, 2], [1, 3]),
        Change("gone", True, None),
        Change("new", None, {"e": 0}),
    ]
