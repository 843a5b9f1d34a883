from dataclasses import replace

import pytest
import torch

from gdrl.config import DisGraphRecipe
from gdrl.graph import CorrelationGraph
from gdrl.models.graph_vae import GraphVae
from gdrl.training import losses
from gdrl.training.annotations import (
    Assignment,
    assign_in_order,
    edge_prior,
)
from gdrl.training.joint import (
    EDGE_DROPOUT,
    FEATURE_MASKING,
    PIXELS_SHARE,
    Batch,
    JointObjective,
    draw_view,
)
from tests.training.joint_recipes import LATENT_DIM, PAPER, RECIPE, UNSUPERVISED
from tests.training.squares import ATTRIBUTES


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


def test_nothing_learns_from_a_term_of_weight_0(measured) -> None:
    recipe = PAPER.model_copy(update={"joint_kl_weight": 0, "adversarial_weight": 0, "beta": 0.0})
    terms = objective(recipe.model_copy(update={"contrastive_weight": 1.0}), measured)(batch())
    assert terms["reconstruction"] > 0
    torch.testing.assert_close(terms["loss"], terms["contrastive"])


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


def test_contrast_is_computed_in_full_precision(measured) -> None:
    model, given = objective(PAPER, measured), batch()
    with torch.autocast("cpu", torch.bfloat16):
        term = model(given)["contrastive"]
    assert term.dtype == torch.float32
    nodes = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    exact = losses.nt_xent(*nodes)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(losses.nt_xent(*nodes), exact)
