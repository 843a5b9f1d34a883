"""The stage on real parts: drawn faces, the embedded MLLM, a private cluster."""

import json

import pyarrow.parquet as pq
import pytest
from small_artifact import finish_dataset

from gdrl.artifacts import Inputs, Run, Storage
from gdrl.config import DatasetRecipe, RunConfig
from gdrl.data.prepare import prepare
from gdrl.data.scores import read_scores
from gdrl.stages import score_images
from gdrl.stages.so_far import IMAGES_PER_LINE


@pytest.fixture
def dataset(tmp_path):
    """A finished dataset of 400 faces."""
    storage = Storage(str(tmp_path / "runs"))
    return finish_dataset(storage, lambda folder: prepare(DatasetRecipe(num_images=400), folder))


def score(run: Run, tmp_path, name: str, **recipe):
    """Run the stage as the run ``name`` would; its artifact and its metrics."""
    config = RunConfig.model_validate(
        {
            "name": name,
            "storage": str(tmp_path / "runs"),
            "recipe": {"attributes": ["hat", "beard"], **recipe},
        }
    )
    sources = {"dataset": run.source("dataset")}
    inputs = Inputs({"dataset": run.open("dataset")}, {}, sources)
    out = Run(run.store, name).begin("scores", "score_images")
    return out, score_images.run(config, inputs, out)


@pytest.mark.usefixtures("cluster")
def test_questions_stop_once_the_graph_is_sure_and_none_is_asked_twice(dataset, tmp_path):
    graph = {"num_bootstrap": 50, "interval_width": 1.9}
    few, metrics = score(dataset, tmp_path, "few", graph=graph, scores={"num_images": 300})
    description = json.loads((few.path / "scores.json").read_text())
    assert description["num_images"] == IMAGES_PER_LINE
    assert description["num_wanted"] == 300
    assert description["num_saved"] == 2 * (300 - IMAGES_PER_LINE)
    assert metrics["num_questions"] == metrics["num_answered"] == 2 * IMAGES_PER_LINE
    assert (tmp_path / "runs/few/training/score_images/so-far.jsonl").exists()

    out, metrics = score(dataset, tmp_path, "more", scores={"num_images": 280})
    assert metrics["num_questions"] == 2 * 280
    assert metrics["num_known"] == 2 * IMAGES_PER_LINE, "of another run, with a smaller N"
    scores = read_scores(out.path)
    before = read_scores(few.path)
    assert set(before.ids) < set(scores.ids)
    known = scores.levels[[id_ in set(before.ids) for id_ in scores.ids]]
    assert (known == before.levels).all(), "an answer is the same from the cache"
    assert pq.read_table(out.path / "scores.parquet").column("model").unique().to_pylist() == [
        "embedded"
    ]
