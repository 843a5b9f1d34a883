from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gdrl.data.table import load_images
from gdrl.errors import DataError
from gdrl.training.annotations import (
    Assignment,
    assign,
    assign_in_order,
    edge_prior,
    read_annotations,
    refined_graph,
)
from tests.training.joint_recipes import LATENT_DIM
from tests.training.squares import ATTRIBUTES, write_names, write_scores


def test_scores_of_other_images_are_refused(dataset, tmp_path: Path) -> None:
    write_scores(tmp_path, dataset, shift=1000)
    with pytest.raises(DataError, match="scores none of the training images"):
        read_annotations(tmp_path, load_images(dataset, "train").ids)


def test_unanswered_questions_are_told_from_answers(dataset, tmp_path: Path) -> None:
    ids = load_images(dataset, "train").ids[:2]
    table = pa.table(
        {
            "id": np.repeat(ids, 2),
            "attribute": list(ATTRIBUTES) * 2,
            "expectation": [5.0, None, 2.5, 1.0],
        }
    )
    pq.write_table(table, tmp_path / "scores.parquet")
    _, annotations = read_annotations(tmp_path, ids)
    assert annotations.answered.tolist() == [[True, False], [True, True]]
    torch.testing.assert_close(annotations.scores, torch.tensor([[1.0, 0.0], [0.5, 0.2]]))


def test_matched_attributes_keep_their_latent_and_others_take_the_idlest(tmp_path: Path) -> None:
    write_names(tmp_path, {"left": (2, -1)})
    kl = np.array([3.0, 0.5, 0.0, 0.1, 2.0, 2.0])
    assignment = assign(tmp_path, kl, ("red", "left", "dark"), complete=True)
    assert assignment.latents == (3, 2, 1)
    assert assignment.signs.tolist() == [1, 1, -1, 1, 1, 1]


def test_of_more_attributes_than_latents_the_matched_and_the_first_get_one(tmp_path: Path) -> None:
    write_names(tmp_path, {"bright": (1, 1)})
    listed = ("red", "left", "dark", "bright")
    assignment = assign(tmp_path, np.zeros(LATENT_DIM)[:3], listed, complete=True)
    assert assignment.attributes == ("red", "left", "bright")
    assert assignment.latents == (0, 2, 1)
    assert assign_in_order(listed, 3).attributes == ("red", "left", "dark")


def test_the_prior_is_the_drawn_edges_in_latent_order(measured) -> None:
    assignment = Assignment(("left", "red"), (2, 0), torch.ones(4))
    target, confidence = edge_prior(measured, assignment, drawn_only=True)
    assert target[0, 2].item() == pytest.approx(0.4)
    # The interval of left -> red holds 0: a measured 0, of no confidence at width 1.
    assert target[2, 0] == 0
    assert confidence[0, 2].item() == pytest.approx(0.8)
    assert confidence[2, 0] == 0
    assert confidence[1].sum() == confidence[:, 3].sum() == 0
    every, _ = edge_prior(measured, assignment, drawn_only=False)
    assert every[2, 0].item() == pytest.approx(-0.3)
    edges = torch.arange(16.0).reshape(4, 4)
    refined = refined_graph(measured, assignment, edges - torch.diag(edges.diagonal()))
    assert refined.adjacency[0, 1] == 2.0
    assert refined.adjacency[1, 0] == 8.0
