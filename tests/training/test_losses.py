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


def test_alignment_ignores_what_is_not_certain() -> None:
    logits = torch.tensor([[0.0, -9.0]], requires_grad=True)
    loss = losses.alignment(logits, torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(math.log(2))
    loss.backward()
    assert logits.grad[0, 0] < 0
    assert logits.grad[0, 1] == 0


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
