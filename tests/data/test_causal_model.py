"""Sampling and exact truths of binary causal models."""

import numpy as np
import pytest

from gdrl.data.causal_model import (
    CausalModel,
    Mechanism,
    interventional,
    population_association,
    prevalence,
    reverse,
)
from gdrl.errors import DataError


@pytest.fixture
def fork() -> CausalModel:
    """A common cause with two effects: the effects are associated and neither causes the other."""
    return CausalModel(
        (
            Mechanism("cause", (0.5,)),
            Mechanism("left", (0.1, 0.7), ("cause",)),
            Mechanism("right", (0.2, 0.6), ("cause",)),
        )
    )


def test_association_of_a_fork_is_what_arithmetic_says(fork: CausalModel) -> None:
    adjacency = population_association(fork)
    assert adjacency[0, 1] == pytest.approx(0.6)
    # P(cause | left) = 0.35 / 0.4, P(cause | not left) = 0.15 / 0.6
    assert adjacency[1, 0] == pytest.approx(0.35 / 0.4 - 0.15 / 0.6)
    assert adjacency[1, 2] == pytest.approx(adjacency[1, 0] * 0.4)
    assert prevalence(fork) == pytest.approx([0.5, 0.4, 0.4])


def test_intervening_on_an_effect_moves_nothing_upstream(fork: CausalModel) -> None:
    effect = interventional(fork)
    assert effect[0] == pytest.approx([0.0, 0.6, 0.4])
    assert not effect[1:].any()


def test_two_parents_are_read_in_counting_order() -> None:
    model = CausalModel(
        (
            Mechanism("a", (1.0,)),
            Mechanism("b", (0.0,)),
            Mechanism("c", (0.1, 0.2, 0.9, 0.4), ("a", "b")),
        )
    )
    assert prevalence(model)[2] == pytest.approx(0.9)


def test_sample_follows_the_model_and_its_seed(fork: CausalModel) -> None:
    factors = fork.sample(20_000, seed=3)
    assert np.array_equal(factors, fork.sample(20_000, seed=3))
    assert not np.array_equal(factors, fork.sample(20_000, seed=4))
    on = factors[:, 0] == 1
    assert factors[on, 1].mean() == pytest.approx(0.7, abs=0.02)
    assert factors[~on, 1].mean() == pytest.approx(0.1, abs=0.02)


def test_independent_sample_keeps_prevalences_and_forgets_the_graph(fork: CausalModel) -> None:
    factors = fork.sample(20_000, seed=3, independent=True)
    assert factors.mean(axis=0) == pytest.approx(prevalence(fork), abs=0.02)
    assert np.abs(np.corrcoef(factors.T) - np.eye(3)).max() < 0.03


def test_reverse_flips_the_sign_of_every_effect(fork: CausalModel) -> None:
    flipped = population_association(reverse(fork))
    assert flipped[0, 1] == pytest.approx(-0.6)
    assert flipped[0, 2] == pytest.approx(-0.4)


@pytest.mark.parametrize(
    "mechanisms",
    [
        (Mechanism("a", (0.5,)), Mechanism("a", (0.5,))),
        (Mechanism("a", (0.5, 0.5), ("b",)), Mechanism("b", (0.5,))),
        (Mechanism("a", (0.5, 0.5)),),
        (Mechanism("a", (1.5,)),),
    ],
    ids=["declared twice", "parent after child", "wrong table", "no probability"],
)
def test_impossible_models_are_refused(mechanisms: tuple[Mechanism, ...]) -> None:
    with pytest.raises(DataError, match="causal model"):
        CausalModel(mechanisms)
