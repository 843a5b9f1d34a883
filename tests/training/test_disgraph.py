import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from gdrl.config import DisGraphRecipe, TrainScale
from gdrl.data.table import load_images
from gdrl.errors import ConfigError, DataError
from gdrl.graph import CorrelationGraph, auroc
from gdrl.models.beta_vae import BetaVae
from gdrl.models.graph_vae import GraphVae
from gdrl.models.representation import Representation
from gdrl.models.storage import load_graph_vae, save_model
from gdrl.training import disgraph
from gdrl.training.annotations import (
    Annotations,
    Assignment,
    assign,
    edge_prior,
    read_annotations,
    refined_graph,
)
from gdrl.training.joint import JointObjective

LATENT_DIM = 6
ATTRIBUTES = ("red", "left")
RECIPE = DisGraphRecipe(
    steps=4, batch_size=16, scored_per_batch=8, precision="fp32", adversarial_weight=0.0
)


@pytest.fixture
def measured() -> CorrelationGraph:
    return CorrelationGraph(
        names=ATTRIBUTES,
        adjacency=np.array([[0.0, 0.4], [-0.3, 0.0]]),
        lower=np.array([[0.0, 0.3], [-0.8, 0.0]]),
        upper=np.array([[0.0, 0.5], [0.2, 0.0]]),
        support=np.full((2, 2), 50.0),
        measure="conditional_difference",
        confidence=0.9,
        signed=True,
    )


@pytest.fixture
def inputs(dataset: Path, measured: CorrelationGraph, tmp_path: Path) -> dict[str, Path]:
    """What the joint stage needs: an untrained VAE, true factors as scores, "left" matched."""
    folders = {name: tmp_path / name for name in ("vae", "names", "scores", "graph")}
    for folder in folders.values():
        folder.mkdir()
    torch.manual_seed(0)
    save_model(BetaVae(LATENT_DIM), folders["vae"])
    write_names(folders["names"], {"left": (2, -1)})
    write_scores(folders["scores"], dataset)
    (folders["graph"] / "graph.json").write_text(json.dumps(measured.to_dict()))
    return folders


def write_names(folder: Path, matched: dict[str, tuple[int, int]]) -> None:
    rows = [
        {"index": index, "attribute": None, "strength": 0.1, "sign": 1}
        for index in range(LATENT_DIM)
    ]
    for attribute, (index, sign) in matched.items():
        rows[index] |= {"attribute": attribute, "sign": sign}
    (folder / "names.json").write_text(json.dumps({"latents": rows}))


def write_scores(folder: Path, dataset: Path, shift: int = 0) -> None:
    images = load_images(dataset, "train")
    ids = np.repeat(images.ids + shift, len(ATTRIBUTES))
    levels = 5.0 * np.stack([images.factors[name] for name in ATTRIBUTES], axis=1).ravel()
    asked = list(ATTRIBUTES) * len(images)
    table = pa.table({"id": ids, "attribute": asked, "expectation": levels})
    pq.write_table(table, folder / "scores.parquet")


def test_a_run_publishes_a_model_a_graph_and_names(job, reports, inputs, measured) -> None:
    disgraph.train(job(RECIPE, **inputs))
    published = reports.checkpoints[4] / "published"
    model = load_graph_vae(published)
    refined = CorrelationGraph.from_dict(json.loads((published / "graph.json").read_text()))
    assert refined.names == measured.names
    assert np.array_equal(refined.lower, measured.lower)
    rows = json.loads((published / "names.json").read_text())["latents"]
    latent_of = {row["attribute"]: row["index"] for row in rows if row["attribute"]}
    assert latent_of["left"] == 2
    learned = model.disgraph.edges()[latent_of["red"], latent_of["left"]].item()
    assert refined.adjacency[0, 1] == pytest.approx(learned)
    assert (model.gap[list(latent_of.values())] != 1).all()
    assert (published / "metrics.jsonl").exists()


def test_alignment_puts_each_attribute_into_its_latent(job, reports, inputs, dataset) -> None:
    recipe = RECIPE.model_copy(update={"steps": 60, "batch_size": 8, "learning_rate": 2e-3})
    disgraph.train(job(recipe, **inputs))
    published = reports.checkpoints[60] / "published"
    rows = json.loads((published / "names.json").read_text())["latents"]
    test = load_images(dataset, "test")
    codes = Representation.load(published).encode(test.pixels)
    untrained = Representation.load(inputs["vae"]).encode(test.pixels)
    for row in (row for row in rows if row["attribute"]):
        answers = test.factors[row["attribute"]][:, None]
        before = auroc(untrained, answers)[row["index"], 0]
        after = auroc(codes, answers)[row["index"], 0]
        assert after > max(before, 0.95)


def test_every_term_can_be_switched_off(job, reports, inputs) -> None:
    off = {f"{term}_weight": 0.0 for term in ("alignment", "contrastive", "prior")}
    disgraph.train(job(RECIPE.model_copy(update=off | {"scored_per_batch": 0}), **inputs))
    _, metrics = reports.rows[-1]
    assert "alignment" not in metrics
    assert "contrastive" not in metrics


def test_the_adversarial_terms_train(job, reports, inputs) -> None:
    disgraph.train(job(RECIPE.model_copy(update={"adversarial_weight": 0.8}), **inputs))
    _, metrics = reports.rows[-1]
    assert 0 < metrics["discriminator"] < 2 * np.log(2) + 1
    assert np.isfinite(metrics["adversarial"])


def test_only_decoder_and_graph_learn_from_interventions(measured) -> None:
    torch.manual_seed(0)
    model = GraphVae(LATENT_DIM, num_layers=1)
    assignment = Assignment(ATTRIBUTES, (0, 1), torch.ones(LATENT_DIM))
    objective = JointObjective(model, RECIPE, assignment, *edge_prior(measured, assignment))
    swapped = torch.ones(4, LATENT_DIM, dtype=torch.bool)
    objective._intervention(torch.randn(8, LATENT_DIM), swapped).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert objective.bias.grad is None
    assert all(p.grad is not None for p in model.decoder.parameters())
    assert (model.disgraph.weight.grad[0, 2:] != 0).all()


def test_zero_3_is_refused_where_a_term_cannot_run(job, inputs) -> None:
    built = job(RECIPE, **inputs)
    sharded = replace(built, scale=TrainScale(zero_stage=3))
    with pytest.raises(ConfigError, match="intervention_weight"):
        disgraph.train(sharded)


def test_resuming_gives_the_weights_of_an_uninterrupted_run(job, reports, inputs) -> None:
    disgraph.train(job(RECIPE, every=2, **inputs))
    straight = load_graph_vae(reports.checkpoints.pop(4) / "published").state_dict()
    halfway = reports.checkpoints.pop(2)
    reports.folder = reports.folder / "resumed"
    disgraph.train(job(RECIPE, every=2, resume=halfway, **inputs))
    resumed = load_graph_vae(reports.checkpoints[4] / "published").state_dict()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)


def test_scores_of_other_images_are_refused(dataset, tmp_path: Path) -> None:
    write_scores(tmp_path, dataset, shift=1000)
    with pytest.raises(DataError, match="scores none of the training images"):
        read_annotations(tmp_path, load_images(dataset, "train").ids)


def test_unanswered_questions_have_no_certainty(dataset, tmp_path: Path) -> None:
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
    torch.testing.assert_close(annotations.certainty, torch.tensor([[1.0, 0.0], [0.0, 0.6]]))


def test_matched_attributes_keep_their_latent_and_others_take_the_idlest(tmp_path: Path) -> None:
    write_names(tmp_path, {"left": (2, -1)})
    kl = np.array([3.0, 0.5, 0.0, 0.1, 2.0, 2.0])
    assignment = assign(tmp_path, kl, ("red", "left", "dark"))
    assert assignment.latents == (3, 2, 1)
    assert assignment.signs.tolist() == [1, 1, -1, 1, 1, 1]


def test_more_attributes_than_latents_are_refused(tmp_path: Path) -> None:
    write_names(tmp_path, {})
    with pytest.raises(ConfigError, match=r"recipe\.vae\.latent_dim is 1"):
        assign(tmp_path, np.zeros(1), ATTRIBUTES)


def test_the_prior_is_the_drawn_edges_in_latent_order(measured) -> None:
    assignment = Assignment(("left", "red"), (2, 0), torch.ones(4))
    target, confidence = edge_prior(measured, assignment)
    assert target[0, 2].item() == pytest.approx(0.4)
    # The interval of left -> red holds 0: a measured 0, of no confidence at width 1.
    assert target[2, 0] == 0
    assert confidence[0, 2].item() == pytest.approx(0.8)
    assert confidence[2, 0] == 0
    assert confidence[1].sum() == confidence[:, 3].sum() == 0
    edges = torch.arange(16.0).reshape(4, 4)
    refined = refined_graph(measured, assignment, edges - torch.diag(edges.diagonal()))
    assert refined.adjacency[0, 1] == 2.0
    assert refined.adjacency[1, 0] == 8.0


def test_gaps_are_the_distance_between_images_with_and_without() -> None:
    codes = torch.tensor([[0.0, 5.0], [1.0, 5.0], [4.0, 5.0], [5.0, 5.0]])
    scores = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    annotations = Annotations(np.arange(4), scores, torch.ones(4, 1))
    gap = disgraph.gaps(codes, annotations, Assignment(("red",), (0,), torch.ones(2)))
    assert gap[0] == 4.0
    assert gap[1] > 0
