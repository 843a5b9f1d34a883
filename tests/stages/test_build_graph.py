import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gdrl.artifacts import Artifact, Inputs, Storage
from gdrl.config import RunConfig
from gdrl.graph import somers_d
from gdrl.stages import build_graph

SHOWN = np.array([[1, 1], [1, 0], [0, 0], [0, 0], [1, 1], [0, 1]])


def scores(folder: Path) -> Inputs:
    """Unsure answers: 60 % of the mass on the right end of the scale, the rest on the other."""
    probabilities = np.zeros((*SHOWN.shape, 6))
    probabilities[..., 0] = np.where(SHOWN, 0.4, 0.6)
    probabilities[..., 5] = np.where(SHOWN, 0.6, 0.4)
    rows = {
        "id": np.repeat(np.arange(len(SHOWN)), 2),
        "attribute": ["hat", "beard"] * len(SHOWN),
        "probabilities": probabilities.reshape(-1, 6).tolist(),
        "expectation": (probabilities @ np.arange(6)).ravel(),
    }
    folder.mkdir()
    pq.write_table(pa.table(rows), folder / "scores.parquet")
    return Inputs({"scores": folder}, {}, {})


def build(tmp_path: Path, **graph: object) -> dict[str, list[list[float]]]:
    inputs = scores(tmp_path / "scores")
    recipe = {"attributes": ["hat", "beard"], "graph": {"num_bootstrap": 20, **graph}}
    config = RunConfig.model_validate({"recipe": recipe})
    build_graph.run(config, inputs, Artifact("graph", tmp_path, Storage(str(tmp_path))))
    return {
        name: json.loads((tmp_path / name).read_text())["adjacency"]
        for name in ("graph.json", "graph-somers_d.json")
    }


def test_unsure_answers_shrink_expected_levels_and_not_the_likeliest(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    expected = build(tmp_path / "a", reading="expectation")["graph.json"]
    likeliest = build(tmp_path / "b", reading="argmax")["graph.json"]
    # P(beard | hat) - P(beard | no hat) = 2/3 - 1/3; of levels 0.4 and 0.6 a fifth squared is left.
    assert np.isclose(likeliest[0][1], 1 / 3)
    assert np.isclose(expected[0][1], 1 / 3 / 25)


def test_the_papers_side_is_unsigned_somers_d_of_the_likeliest_level(tmp_path: Path) -> None:
    built = build(tmp_path, reading="argmax", measure="somers_d", signed=False)["graph.json"]
    np.testing.assert_allclose(built, np.abs(somers_d(SHOWN.astype(float))))
