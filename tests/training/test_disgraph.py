import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gdrl.config import TrainScale
from gdrl.data.table import load_images
from gdrl.errors import ConfigError, DataError, TrainingFailed
from gdrl.graph import CorrelationGraph, auroc
from gdrl.models.beta_vae import BetaVae
from gdrl.models.factor_model import FactorModel
from gdrl.models.representation import Representation
from gdrl.models.storage import load_graph_vae, load_model, save_model
from gdrl.training import disgraph
from tests.training.joint_recipes import LATENT_DIM, PAPER, RECIPE, UNSUPERVISED
from tests.training.squares import ATTRIBUTES, write_names, write_scores


@pytest.fixture
def inputs(dataset: Path, measured: CorrelationGraph, tmp_path: Path) -> dict[str, Path]:
    """What the joint stage needs: an untrained VAE, true factors as scores, "left" matched."""
    folders = {name: tmp_path / name for name in ("extracted", "names", "scores", "graph")}
    for folder in folders.values():
        folder.mkdir()
    torch.manual_seed(0)
    save_model(BetaVae(LATENT_DIM), folders["extracted"])
    write_names(folders["names"], {"left": (2, -1)})
    write_scores(folders["scores"], dataset)
    measured.save(folders["graph"] / "graph.json")
    return folders


def test_a_run_publishes_a_model_a_graph_and_names(job, reports, inputs, measured) -> None:
    disgraph.train(job(RECIPE, **inputs))
    published = reports.checkpoints[4] / "published"
    model = load_graph_vae(published)
    refined = CorrelationGraph.load(published / "graph.json")
    assert refined.names == measured.names
    assert np.array_equal(refined.lower, measured.lower)
    rows = json.loads((published / "names.json").read_text())["latents"]
    latent_of = {row["attribute"]: row["index"] for row in rows if row["attribute"]}
    assert latent_of["left"] == 2
    learned = model.disgraph.edges()[latent_of["red"], latent_of["left"]].item()
    assert refined.adjacency[0, 1] == pytest.approx(learned)
    assert (published / "metrics.jsonl").exists()


def test_an_edit_moves_other_attributes_by_the_published_weights(
    job, reports, inputs, dataset
) -> None:
    disgraph.train(job(RECIPE, **inputs))
    model = FactorModel.open(reports.checkpoints[4] / "published")
    pixels = load_images(dataset, "test").pixels[:3]
    codes = model.encode(pixels)
    moved = model.set_levels(codes, {"red": 2.0})
    before, after = model.levels(codes), model.levels(moved)
    weight = model.graph.adjacency[0, 1]
    assert abs(weight) > 0.1
    expected = weight * (2.0 - before["red"])
    np.testing.assert_allclose(after["left"] - before["left"], expected, rtol=1e-3, atol=1e-5)
    unnamed = [factor.index for factor in model.factors if factor.attribute is None]
    np.testing.assert_array_equal(moved[:, unnamed], codes[:, unnamed])


def test_alignment_puts_each_attribute_into_its_latent(job, reports, inputs, dataset) -> None:
    recipe = RECIPE.model_copy(update={"steps": 60, "batch_size": 8, "learning_rate": 2e-3})
    disgraph.train(job(recipe, **inputs))
    published = reports.checkpoints[60] / "published"
    rows = json.loads((published / "names.json").read_text())["latents"]
    test = load_images(dataset, "test")
    codes = Representation.load(published).encode(test.pixels)
    untrained = Representation.load(inputs["extracted"]).encode(test.pixels)
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


def test_the_papers_recipe_trains_from_nothing_without_pixels(job, reports, inputs) -> None:
    disgraph.train(job(PAPER, **inputs))
    _, metrics = reports.rows[-1]
    assert 0 < metrics["discriminator"] < 2 * np.log(2) + 1
    assert np.isfinite(metrics["joint_kl"])
    assert "alignment" not in metrics
    published = reports.checkpoints[4] / "published"
    rows = json.loads((published / "names.json").read_text())["latents"]
    assert [row["attribute"] for row in rows] == ["red", "left", None, None, None, None]


def test_a_diverging_run_ends_with_its_step_and_terms(job, inputs) -> None:
    with pytest.raises(TrainingFailed, match=r"step \d+: the loss is not finite \(.*joint_kl"):
        disgraph.train(job(PAPER.model_copy(update={"learning_rate": 1e30}), **inputs))


def test_a_fresh_start_takes_the_shape_of_the_vae_and_none_of_its_weights(inputs, dataset) -> None:
    pixels = load_images(dataset, "train").pixels
    vae = load_model(inputs["extracted"]).state_dict()
    for warm in (True, False):
        recipe = RECIPE.model_copy(update={"warm_start": warm})
        torch.manual_seed(1)
        model, _ = disgraph.begin(inputs, recipe, ATTRIBUTES, pixels, signed=False)
        assert not model.disgraph.signed
        assert model.latent_dim == LATENT_DIM
        same = torch.equal(
            model.state_dict()["encoder.features.0.weight"], vae["encoder.features.0.weight"]
        )
        assert same is warm


@pytest.mark.parametrize("learn", [True, False])
def test_a_held_graph_stays_as_measured(job, reports, inputs, learn: bool) -> None:
    switches = {"learn_edges": learn, "prior_weight": 0.0, "contrastive_weight": 0.0}
    disgraph.train(job(RECIPE.model_copy(update=switches), **inputs))
    model = load_graph_vae(reports.checkpoints[4] / "published")
    refined = json.loads((reports.checkpoints[4] / "published/graph.json").read_text())
    drawn = [[0.0, 0.4], [0.0, 0.0]]  # the interval of left -> red holds 0
    assert np.allclose(refined["adjacency"], drawn, atol=1e-7) is not learn
    assert (model.disgraph.edges() != 0).sum().item() > 1 or not learn


def test_without_scores_unmatched_attributes_get_no_latent(job, reports, inputs, measured) -> None:
    disgraph.train(job(UNSUPERVISED, **inputs))
    published = reports.checkpoints[4] / "published"
    rows = json.loads((published / "names.json").read_text())["latents"]
    assert [row["attribute"] for row in rows] == [None, None, "left", None, None, None]
    refined = json.loads((published / "graph.json").read_text())
    np.testing.assert_allclose(refined["adjacency"], measured.adjacency)


def test_with_no_match_at_all_training_ends_in_a_model_without_names(job, reports, inputs) -> None:
    write_names(inputs["names"], {})
    disgraph.train(job(UNSUPERVISED, **inputs))
    rows = json.loads((reports.checkpoints[4] / "published/names.json").read_text())
    assert rows["attributes"] == []
    assert all(np.isfinite([row["absent"], row["present"]]).all() for row in rows["latents"])


def test_a_collapsed_latent_keeps_finite_levels_and_no_strength(job, reports, inputs) -> None:
    model = load_model(inputs["extracted"])
    with torch.no_grad():
        model.encoder.mean.weight[2] = 0
    save_model(model, inputs["extracted"])
    frozen = UNSUPERVISED.model_copy(update={"learning_rate": 1e-12})
    disgraph.train(job(frozen, **inputs))
    rows = json.loads((reports.checkpoints[4] / "published/names.json").read_text())["latents"]
    assert rows[2]["strength"] == pytest.approx(0, abs=0.3)
    assert abs(rows[2]["present"] - rows[2]["absent"]) == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("recipe", [RECIPE, UNSUPERVISED], ids=["scores", "no scores"])
def test_zero_3_is_refused(job, inputs, recipe) -> None:
    sharded = replace(job(recipe, **inputs), scale=TrainScale(zero_stage=3))
    with pytest.raises(ConfigError, match=r"scale\.disgraph\.zero_stage = 3 .* set it to 2"):
        disgraph.train(sharded)


def test_parts_of_a_batch_are_refused_to_terms_that_average_over_steps(job, inputs) -> None:
    averaging = r"recipe\.disgraph\.contrastive_weight > 0"
    with pytest.raises(ConfigError, match=averaging + r".*scale\.disgraph\.accumulation_steps = 1"):
        disgraph.train(job(RECIPE, parts=2, **inputs))
    recipe = RECIPE.model_copy(update={"contrastive_weight": 0.0})
    disgraph.train(job(recipe, parts=2, **inputs))


def test_a_graph_of_other_attributes_is_refused(job, inputs, measured) -> None:
    replace(measured, names=("red", "dark")).save(inputs["graph"] / "graph.json")
    with pytest.raises(DataError, match=r"no node for left, .* take graph and scores from one run"):
        disgraph.train(job(RECIPE, **inputs))


def test_resuming_gives_the_weights_of_an_uninterrupted_run(resumed, inputs) -> None:
    resumed(disgraph.train, RECIPE, **inputs)


def test_more_attributes_than_latents_train_and_keep_their_measured_edges(
    job, reports, inputs, measured
) -> None:
    save_model(BetaVae(1), inputs["extracted"])
    write_names(inputs["names"], {})
    disgraph.train(job(RECIPE, **inputs))
    published = reports.checkpoints[4] / "published"
    rows = json.loads((published / "names.json").read_text())["latents"]
    assert [row["attribute"] for row in rows] == ["red"]
    refined = json.loads((published / "graph.json").read_text())
    np.testing.assert_array_equal(refined["adjacency"], measured.adjacency)
