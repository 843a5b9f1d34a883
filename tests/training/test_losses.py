import math

import pytest
import torch

from gdrl.training import losses


def test_kl_worked_value() -> None:
    mean, logvar = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, math.log(4.0)]])
    # KL(N(1, 1) || N(0, 1)) = 1/2; KL(N(0, 4) || N(0, 1)) = (4 - 1 - ln 4) / 2
    expected = torch.tensor([0.5, (3 - math.log(4.0)) / 2])
    torch.testing.assert_close(losses.kl_by_latent(mean, logvar), expected)


def test_squared_error_sums_over_an_image_and_averages_over_images() -> None:
    logits, images = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert losses.squared_error(logits, images).item() == pytest.approx(48 * 0.25)
    assert losses.bernoulli_error(logits, images).item() == pytest.approx(48 * math.log(2))


def test_total_correlation_worked_values() -> None:
    # Posteriors N(0, 1) and N(1, 1) in both latents, codes at their means; r = phi(1) / phi(0):
    # log (1 + r^2) / 2 - 2 log (1 + r) / 2 for either code.
    mean, r = torch.tensor([[0.0, 0.0], [1.0, 1.0]]), math.exp(-0.5)
    expected = math.log((1 + r**2) / 2) - 2 * math.log((1 + r) / 2)
    found = losses.total_correlation(mean, mean, torch.zeros(2, 2))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_total_correlation_of_bits_is_their_information() -> None:
    tied = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).repeat(2, 1)
    free = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    narrow = torch.full((4, 2), -9.0)
    assert losses.total_correlation(tied, tied, narrow).item() == pytest.approx(math.log(2))
    assert losses.total_correlation(free, free, narrow).item() == pytest.approx(0, abs=1e-5)


def test_total_correlation_of_gaussians() -> None:
    torch.manual_seed(0)
    shared = torch.randn(1024, 1)
    mean = math.sqrt(0.6) * shared.expand(-1, 2)
    logvar = torch.full((1024, 2), math.log(0.4))
    codes = mean + math.sqrt(0.4) * torch.randn(1024, 2)  # standard normal, correlation 0.6
    found = losses.total_correlation(codes, mean, logvar).item()
    assert found == pytest.approx(-0.5 * math.log(1 - 0.6**2), abs=0.06)


def test_descending_the_total_correlation_unties_latents() -> None:
    torch.manual_seed(0)
    sources, noise = torch.randn(256, 2), 0.3 * torch.randn(256, 2)
    logvar = torch.full((256, 2), 2 * math.log(0.3))
    mixing = torch.tensor([[1.0, 0.9], [0.0, 0.4]], requires_grad=True)
    optimiser = torch.optim.Adam([mixing], lr=0.03)
    for _ in range(40):
        mean = sources @ mixing
        loss = losses.total_correlation(mean + noise, mean, logvar)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    tied = torch.corrcoef((sources @ torch.tensor([[1.0, 0.9], [0.0, 0.4]])).T)[0, 1]
    untied = torch.corrcoef((sources @ mixing.detach()).T)[0, 1]
    assert tied > 0.85
    assert untied.abs() < 0.3


def test_narrow_posteriors_saturate_the_total_correlation() -> None:
    torch.manual_seed(0)
    codes = torch.randn(64, 10)
    found = losses.total_correlation(codes, codes, torch.full((64, 10), -20.0)).item()
    assert found == pytest.approx(9 * math.log(64), rel=0.01)


def test_permuting_keeps_each_marginal_and_breaks_the_ties() -> None:
    torch.manual_seed(0)
    codes = torch.randn(256, 1).expand(-1, 3)
    mixed = losses.permuted(codes, torch.rand(256, 3).argsort(dim=0))
    assert torch.equal(mixed.sort(dim=0).values, codes.sort(dim=0).values)
    assert torch.corrcoef(mixed.T).fill_diagonal_(0).abs().max() < 0.25


def test_alignment_ignores_what_is_not_answered() -> None:
    logits = torch.tensor([[0.0, -9.0]], requires_grad=True)
    loss = losses.alignment(logits, torch.ones(1, 2), torch.tensor([[True, False]]))
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert logits.grad[0, 0] < 0
    assert logits.grad[0, 1] == 0


def test_alignment_to_a_graded_score_is_at_rest_at_its_logit() -> None:
    scores = torch.tensor([[0.5, 0.2]])
    logits = scores.logit().requires_grad_()
    losses.alignment(logits, scores, torch.ones(1, 2, dtype=torch.bool)).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(1, 2))


def test_the_prior_pulls_in_proportion_to_confidence() -> None:
    edges = torch.tensor([[0.0, 0.5], [0.5, 0.0]])
    confidence = torch.tensor([[0.0, 1.0], [0.1, 0.0]])
    assert losses.prior_pull(edges, torch.zeros(2, 2), confidence).item() == pytest.approx(0.275)


def test_nt_xent_is_least_where_each_node_resembles_itself() -> None:
    nodes = torch.eye(4).expand(2, 4, 4)
    aligned = losses.nt_xent(nodes, nodes)
    shuffled = losses.nt_xent(nodes, nodes.roll(1, dims=1))
    assert aligned < 0.1 < shuffled
    torch.testing.assert_close(losses.nt_xent(nodes, 2 * nodes), aligned)


def test_the_discriminator_learns_high_on_encoder_pairs() -> None:
    low, high = torch.full((3,), -2.0), torch.full((3,), 2.0)
    assert losses.discriminator_error(high, low) < losses.discriminator_error(low, high)


def test_generators_step_against_the_discriminator() -> None:
    encoded = torch.zeros(2, requires_grad=True)
    decoded = torch.tensor([0.0, 9.0], requires_grad=True)
    losses.generator_error(encoded, decoded).backward()
    assert (encoded.grad > 0).all()
    # Raising D on decoder pairs lowers the loss; the weight exp(9) is clipped to 2.
    torch.testing.assert_close(decoded.grad, torch.tensor([-0.5, -1.0]))
