"""Discovery: on worked scores, on scripted replies, and on real parts with the embedded MLLM."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from small_artifact import finish_dataset

from gdrl.artifacts import Inputs, Run, Storage
from gdrl.config import DatasetRecipe, RunConfig
from gdrl.data.prepare import prepare
from gdrl.data.scores import read_scores
from gdrl.mllm.embedded import known_attributes
from gdrl.mllm.engine import Answer, Query
from gdrl.stages import attributes, score_images


def columns(*rows: str) -> np.ndarray:
    """A column for each string of digits: 1 shown, 0 not, ? unanswered."""
    values = {"0": 0.1, "1": 0.9, "?": np.nan}
    return np.array([[values[digit] for digit in row] for row in rows]).T


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


@pytest.fixture
def dataset(tmp_path) -> Run:
    storage = Storage(str(tmp_path / "runs"))
    return finish_dataset(storage, lambda folder: prepare(DatasetRecipe(num_images=90), folder))


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


@pytest.mark.usefixtures("cluster")
def test_the_embedded_model_finds_the_attributes_of_its_world(dataset, tmp_path) -> None:
    config = RunConfig.model_validate(
        {
            "name": "found",
            "storage": str(tmp_path / "runs"),
            "recipe": {"attributes": "discover", "scores": {"num_images": 70}},
        }
    )
    inputs = Inputs(
        {"dataset": dataset.open("dataset")}, {}, {"dataset": dataset.source("dataset")}
    )
    out = Run(dataset.store, "found").begin("scores", "score_images")
    metrics = score_images.run(config, inputs, out)
    record = json.loads((out.path / "attributes.json").read_text())
    assert {c["name"] for c in record["candidates"]} == set(known_attributes())
    assert read_scores(out.path).attributes == tuple(record["attributes"])
    assert len(record["attributes"]) >= 10, "64 of its own faces show nearly all"
    known = metrics["num_known"] / len(record["attributes"])
    assert known == attributes.NUM_SAMPLED, "what discovery asked is not asked again"
