"""Discovery: on worked scores, on scripted replies, and on real parts with the embedded MLLM."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from small_artifact import finish_dataset

from gdrl.artifacts import Inputs, Run, Storage
from gdrl.config import DatasetRecipe, RunConfig
from gdrl.data.prepare import prepare
from gdrl.data.scores import read_scores
from gdrl.data.table import train_ids
from gdrl.distributed.serve import serving
from gdrl.errors import DataError
from gdrl.mllm.embedded import known_attributes
from gdrl.mllm.engine import Answer, Query
from gdrl.stages import attributes, score_images


def columns(*rows: str) -> np.ndarray:
    """A column for each string of digits: 1 shown, 0 not, ? unanswered."""
    values = {"0": 0.1, "1": 0.9, "?": np.nan}
    return np.array([[values[digit] for digit in row] for row in rows]).T


def is_joined(one: np.ndarray, other: np.ndarray) -> bool:
    levels = np.where(np.stack([one, other], axis=1), 0.9, 0.1)
    (_, candidate) = attributes.choose({"hat": 2, "cap": 1}, levels)
    return candidate.verdict.startswith("same as hat")


@pytest.mark.parametrize("wrong", [0.01, 0.02, 0.03])
@pytest.mark.parametrize("opposite", [False, True])
def test_synonyms_are_joined_though_some_answers_are_wrong(wrong: float, opposite: bool) -> None:
    rng = np.random.default_rng(0)
    shown = rng.random((200, attributes.NUM_SAMPLED)) < 0.4
    one, other = (shown ^ (rng.random(shown.shape) < wrong) for _ in range(2))
    joined = [is_joined(*pair) for pair in zip(one, other ^ opposite, strict=True)]
    assert np.mean(joined) >= 0.97


def test_attributes_that_go_together_stay_two() -> None:
    """Correlated at 0.7; those of the world ``faces`` are so at 0.55 at most."""
    rng = np.random.default_rng(0)
    one = rng.random((200, attributes.NUM_SAMPLED)) < 0.4
    other = rng.random(one.shape) < np.where(one, 0.82, 0.12)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] == pytest.approx(0.7, abs=0.01)
    assert np.mean([is_joined(*pair) for pair in zip(one, other, strict=True)]) <= 0.03


def test_a_few_answers_in_common_join_nothing() -> None:
    levels = columns("000111??????", "??01??010101")
    assert [c.verdict for c in attributes.choose({"hat": 2, "cap": 1}, levels)] == ["kept"] * 2


def test_what_wrong_answers_alone_would_show_does_not_vary() -> None:
    (face,) = attributes.choose({"face": 1}, columns("1" * 248 + "0" * 8))
    assert face.verdict == "does not vary", "8 of 256 are 3 %"


def test_what_varies_is_kept_once_for_each_meaning() -> None:
    proposed = {"hat": 9, "cap": 5, "no hat": 4, "face": 3, "beard": 2, "smile": 1}
    levels = columns("00011100", "000111??", "11100011", "11111111", "01010101", "0?????11")
    verdicts = {c.name: c.verdict for c in attributes.choose(proposed, levels)}
    assert verdicts == {
        "hat": "kept",
        "cap": "same as hat (r = 1.00)",
        "no hat": "same as hat (r = -1.00)",
        "face": "does not vary",
        "beard": "kept",
        "smile": "does not vary",
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Run:
    storage = Storage(str(tmp_path_factory.mktemp("dataset") / "runs"))
    return finish_dataset(storage, lambda folder: prepare(DatasetRecipe(num_images=360), folder))


def inputs_of(dataset: Run) -> Inputs:
    return Inputs({"dataset": dataset.open("dataset")}, {}, {"dataset": dataset.source("dataset")})


def test_a_large_model_is_asked_openly_and_what_it_lists_is_counted(dataset) -> None:
    replies = [
        Answer("ok", (), reply='["hat", "blond hair"]'),
        Answer("ok", (), reply='["the hat", "glasses"]'),
        Answer("ok", (), reply="a man with a hat"),
        Answer("refused", reason="no"),
    ]

    def says(queries: Sequence[Query]) -> list[Answer]:
        assert all(not query.options for query in queries)
        return replies

    proposed = attributes._ask_openly(dataset.open("dataset"), np.array([1, 4, 2, 7]), says)
    assert proposed == {"hat": 2, "blond hair": 1, "glasses": 1}


@pytest.fixture
def find(dataset: Run, tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """``find("hat,cap")`` discovers what a model finds that proposes just this for every image."""

    def find(listed: str) -> tuple[str, ...]:
        mllm = {"model": listed, "endpoint": "http://scripted"}
        config = RunConfig.model_validate(
            {
                "name": "found",
                "storage": str(tmp_path / "runs"),
                "recipe": {"attributes": "discover", "mllm": mllm},
            }
        )
        ids = train_ids(dataset.open("dataset"))[:100]
        engine = "tests.stages.scripted_engine:Scripted"
        with serving(config.recipe.mllm, config.scale.mllm, open_engine=engine) as service:
            return attributes.discover(config, inputs_of(dataset), ids, service, tmp_path)

    return find


@pytest.mark.usefixtures("cluster")
def test_a_large_model_finds_what_it_proposes_and_sees_come_and_go(find, tmp_path) -> None:
    assert find("hat,a hat,hats,cap,face,beard,none of these") == ("hat", "beard")
    record = json.loads((tmp_path / "attributes.json").read_text())
    assert record["attributes"] == ["hat", "beard"]
    assert record["num_images"] == 100
    verdicts = {c["name"]: c["verdict"] for c in record["candidates"]}
    assert verdicts.pop("cap").startswith("same as hat"), "but for one picture in 32"
    assert verdicts == {"hat": "kept", "face": "does not vary", "beard": "kept"}
    assert {c["named_in"] for c in record["candidates"]} == {attributes.NUM_ASKED}
    assert {c["answered"] for c in record["candidates"]} == {100}


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("listed", "said"),
    [
        (
            "hat,cap,face",
            (
                r"of 3 attributes that hat,cap,face proposed .* 1 can be kept; two are needed\n"
                r"  hat: kept, shown in \d+ of 100\n"
                r"  cap: same as hat \(r = \d\.\d\d\), shown in \d+ of 100\n"
                r"  face: does not vary, shown in 100 of 100\n"
                r"list in recipe.attributes what to ask about"
            ),
        ),
        ("none of these", r"of 0 attributes .* 0 can be kept; two are needed\nlist in recipe.attr"),
    ],
)
def test_too_few_to_relate_are_told_with_the_verdict_on_each(find, listed: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        find(listed)


@pytest.mark.usefixtures("cluster")
def test_the_embedded_model_finds_the_attributes_of_its_world(dataset, tmp_path) -> None:
    config = RunConfig.model_validate(
        {
            "name": "found",
            "storage": str(tmp_path / "runs"),
            "recipe": {"attributes": "discover", "scores": {"num_images": 260}},
        }
    )
    inputs = inputs_of(dataset)
    out = Run(dataset.store, "found").begin("scores", "score_images")
    metrics = score_images.run(config, inputs, out)
    record = json.loads((out.path / "attributes.json").read_text())
    assert {c["name"] for c in record["candidates"]} == set(known_attributes())
    assert read_scores(out.path).attributes == tuple(record["attributes"])
    assert len(record["attributes"]) >= 10, "its own faces show nearly all"
    known = metrics["num_known"] / len(record["attributes"])
    assert known == attributes.NUM_SAMPLED, "what discovery asked is not asked again"
