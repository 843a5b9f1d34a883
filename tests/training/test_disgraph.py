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
from gdrl.errors import ConfigError, DataError, TrainingFailed
from gdrl.graph import CorrelationGraph, auroc
from gdrl.models.beta_vae import BetaVae
from gdrl.models.factor_model import FactorModel
from gdrl.models.graph_vae import GraphVae
from gdrl.models.representation import Representation
from gdrl.models.storage import load_graph_vae, load_model, save_model
from gdrl.training import disgraph, losses
from gdrl.training.annotations import (
    Assignment,
    assign,
    assign_in_order,
    edge_prior,
    read_annotations,
    refined_graph,
)
from gdrl.training.joint import (
    EDGE_DROPOUT,
    FEATURE_MASKING,
    PIXELS_SHARE,
    Batch,
    JointObjective,
    draw_view,
)
from tests.training.squares import ATTRIBUTES, write_scores

LATENT_DIM = 6
RECIPE = DisGraphRecipe(
    steps=4, batch_size=16, scored_per_batch=8, precision="fp32", adversarial_weight=0.0
)
UNSUPERVISED = RECIPE.model_copy(update={"alignment_weight": 0.0})
PAPER = DisGraphRecipe(
    warm_start=False,
    steps=4,
    batch_size=16,
    learning_rate=1e-4,
    reconstruction_weight=0,
    alignment_weight=0,
    prior_weight=0,
    adversarial_weight=0.8,
    joint_kl_weight=0.6,
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
    folders = {name: tmp_path / name for name in ("extracted", "names", "scores", "graph")}
    for folder in folders.values():
        folder.mkdir()
    torch.manual_seed(0)
    save_model(BetaVae(LATENT_DIM), folders["extracted"])
    write_names(folders["names"], {"left": (2, -1)})
    write_scores(folders["scores"], dataset)
    measured.save(folders["graph"] / "graph.json")
    return folders


def write_names(folder: Path, matched: dict[str, tuple[int, int]]) -> None:
    rows = [
        {"index": index, "attribute": None, "strength": 0.1, "sign": 1}
        for index in range(LATENT_DIM)
    ]
    for attribute, (index, sign) in matched.items():
        rows[index] |= {"attribute": attribute, "sign": sign}
    (folder / "names.json").write_text(json.dumps({"latents": rows}))


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


def objective(recipe: DisGraphRecipe, measured: CorrelationGraph) -> JointObjective:
    torch.manual_seed(0)
    assignment = assign_in_order(ATTRIBUTES, LATENT_DIM)
    prior, confidence = edge_prior(measured, assignment, drawn_only=True)
    model = GraphVae(LATENT_DIM, 1)
    with torch.no_grad():
        model.disgraph.weight.copy_(prior)
    return JointObjective(model, recipe, assignment, prior, confidence)


def batch(num_images: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(0)
    noise, prior_codes = torch.randn(2, num_images, LATENT_DIM, generator=generator)
    return Batch(
        images=torch.rand(num_images, 3, 64, 64, generator=generator),
        noise=noise,
        prior_codes=prior_codes,
        scores=torch.zeros(0, 2),
        answered=torch.zeros(0, 2, dtype=torch.bool),
        views=(draw_view(LATENT_DIM, generator), draw_view(LATENT_DIM, generator)),
        swapped=torch.zeros(2, LATENT_DIM, dtype=torch.bool),
        opening=1.0,
    )


def test_the_total_loss_is_the_papers_sum(measured) -> None:
    recipe = PAPER.model_copy(update={"beta": 2.4, "contrastive_weight": 0.1})
    terms = objective(recipe, measured)(batch())
    expected = (
        0.8 * terms["discriminator"]
        + 0.6 * terms["joint_kl"]
        + 2.4 * terms["kl"]
        + 0.1 * terms["contrastive"]
    )
    torch.testing.assert_close(terms["loss"], expected)


def test_the_total_loss_is_the_sum_of_our_terms(measured) -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    scored = replace(
        batch(),
        scores=scores,
        answered=torch.ones(2, 2, dtype=torch.bool),
        swapped=torch.ones(2, LATENT_DIM, dtype=torch.bool),
    )
    model = objective(DisGraphRecipe(), measured)
    with torch.no_grad():
        model.model.disgraph.weight[0, 1] += 0.2
    terms = model(scored)
    expected = (
        10 * terms["reconstruction"]
        + 4 * terms["kl"]
        + 100 * (terms["alignment"] + terms["intervention"] + terms["prior"])
        + 0.1 * terms["contrastive"]
    )
    torch.testing.assert_close(terms["loss"], expected)
    assert all(term > 1e-3 for term in terms.values())


def test_edges_learn_from_the_contrast_of_two_views_and_the_anchor_follows(measured) -> None:
    recipe = PAPER.model_copy(update={"joint_kl_weight": 0, "adversarial_weight": 0, "beta": 0.0})
    model = objective(
        recipe.model_copy(update={"contrastive_weight": 1.0, "anchor_momentum": 0.75}), measured
    )
    start = model.anchor.clone()
    with torch.no_grad():
        model.model.disgraph.weight[0, 1] += 0.4
    model(batch())["loss"].backward()
    gradient = model.model.disgraph.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert (model.anchor - start)[0, 1].item() == pytest.approx(0.25 * 0.4)
    again = model.anchor.clone()
    model(batch())
    assert (model.anchor - again)[0, 1].item() == pytest.approx(0.25 * (0.4 - 0.1))


def test_a_view_hides_its_share_of_features_and_edges() -> None:
    generator = torch.Generator().manual_seed(0)
    views = [draw_view(100, generator) for _ in range(20)]
    for field, hidden in (("features", FEATURE_MASKING), ("edges", EDGE_DROPOUT)):
        kept = torch.cat([getattr(view, field).flatten() for view in views])
        assert set(kept.tolist()) == {0.0, 1.0}
        assert 1 - kept.mean().item() == pytest.approx(hidden, abs=0.03)


def test_the_discriminator_learns_from_l_adv_alone_and_the_rest_from_l_gem(measured) -> None:
    model = objective(PAPER.model_copy(update={"beta": 0.0, "contrastive_weight": 0.0}), measured)
    weights = model._weights()
    assert (weights["discriminator"], weights["joint_kl"]) == (0.8, 0.6)
    terms = model._adversarial(batch(), torch.randn(4, LATENT_DIM, requires_grad=True))
    terms["discriminator"].backward(retain_graph=True)
    assert all(p.grad is None for p in model.model.parameters())
    model.discriminator.zero_grad()
    terms["joint_kl"].backward()
    assert all(p.grad is None for p in model.discriminator.parameters())
    assert all(p.grad is not None for p in model.model.decoder.parameters())
    assert model.model.disgraph.weight.grad is not None


def test_nothing_learns_from_a_term_of_weight_0(measured) -> None:
    recipe = PAPER.model_copy(update={"joint_kl_weight": 0, "adversarial_weight": 0, "beta": 0.0})
    terms = objective(recipe.model_copy(update={"contrastive_weight": 1.0}), measured)(batch())
    assert terms["reconstruction"] > 0
    torch.testing.assert_close(terms["loss"], terms["contrastive"])


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


def test_pixels_teach_an_attribute_latent_how_precise_to_be_and_less_of_what_to_say(
    measured,
) -> None:
    model, without_scores = objective(RECIPE, measured), objective(UNSUPERVISED, measured)
    assert model.carries.tolist() == [True, True, False, False, False, False]
    mean, logvar = torch.zeros(2, 4, LATENT_DIM).requires_grad_()

    def taught(objective: JointObjective, opening: float) -> tuple[torch.Tensor, torch.Tensor]:
        shown = objective._shown(mean, logvar, replace(batch(), opening=opening))
        return torch.autograd.grad(shown.square().sum(), (mean, logvar))

    full, full_precision = taught(without_scores, 0.0)
    assert (full != 0).all()
    for opening in (0.0, 0.5):
        what, precision = taught(model, opening)
        torch.testing.assert_close(what[:, :2], PIXELS_SHARE * full[:, :2])
        torch.testing.assert_close(precision[:, :2], full_precision[:, :2])
        torch.testing.assert_close(what[:, 2:], opening**2 * full[:, 2:])


def test_only_decoder_and_graph_learn_from_interventions(measured) -> None:
    torch.manual_seed(0)
    model = GraphVae(LATENT_DIM, num_layers=1)
    assignment = Assignment(ATTRIBUTES, (0, 1), torch.ones(LATENT_DIM))
    prior, confidence = edge_prior(measured, assignment, drawn_only=True)
    objective = JointObjective(model, RECIPE, assignment, prior, confidence)
    swapped = torch.ones(4, LATENT_DIM, dtype=torch.bool)
    objective._intervention(torch.randn(8, LATENT_DIM), swapped).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert objective.bias.grad is None
    assert all(p.grad is not None for p in model.decoder.parameters())
    assert (model.disgraph.weight.grad[0, 2:] != 0).all()


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


def test_contrast_is_computed_in_full_precision(measured) -> None:
    model, given = objective(PAPER, measured), batch()
    with torch.autocast("cpu", torch.bfloat16):
        term = model(given)["contrastive"]
    assert term.dtype == torch.float32
    nodes = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    exact = losses.nt_xent(*nodes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(losses.nt_xent(*nodes), exact)


def test_a_graph_of_other_attributes_is_refused(job, inputs, measured) -> None:
    replace(measured, names=("red", "dark")).save(inputs["graph"] / "graph.json")
    with pytest.raises(DataError, match=r"no node for left, .* take graph and scores from one run"):
        disgraph.train(job(RECIPE, **inputs))


def test_resuming_gives_the_weights_of_an_uninterrupted_run(resumed, inputs) -> None:
    resumed(disgraph.train, RECIPE, **inputs)


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
