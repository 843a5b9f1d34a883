"""DCI's predictor against scikit-learn's, and pair entanglement on importances by hand."""

import numpy as np
import pytest

from gdrl.evaluation import dci, pair_entanglement
from gdrl.evaluation.importance import _concentration


def test_binned_trees_are_scikit_learns_on_few_values() -> None:
    rng = np.random.default_rng(0)
    factors = rng.integers(3, size=(450, 2))
    codes = np.round(2 * (np.hstack([factors, factors[:, :1]]) + rng.normal(size=(450, 3))))
    binned = dci(codes, factors)
    exact = dci(codes, factors, predictor="scikit-learn")
    np.testing.assert_allclose(binned.importance, exact.importance, atol=0.01)
    assert binned.informativeness == pytest.approx(exact.informativeness, abs=0.02)
    assert binned.disentanglement == pytest.approx(exact.disentanglement, abs=0.01)


def test_two_valued_factors_agree_as_well() -> None:
    rng = np.random.default_rng(1)
    factors = rng.integers(2, size=(600, 2))
    codes = factors + rng.normal(size=(600, 2))
    binned = dci(codes, factors)
    exact = dci(codes, factors, predictor="scikit-learn")
    np.testing.assert_allclose(binned.importance, exact.importance, atol=0.05)
    assert binned.informativeness == pytest.approx(exact.informativeness, abs=0.05)


def test_fast_knows_perfect_from_rotated(
    identity: np.ndarray, rotated: np.ndarray, grid: np.ndarray
) -> None:
    perfect, mixed = dci(identity, grid, fast=True), dci(rotated, grid, fast=True)
    assert min(perfect.disentanglement, perfect.completeness, perfect.informativeness) > 0.99
    assert max(mixed.disentanglement, mixed.completeness) < 0.2


def test_importances_sum_to_one_or_to_nothing(
    identity: np.ndarray, constant: np.ndarray, grid: np.ndarray
) -> None:
    np.testing.assert_allclose(dci(identity, grid, fast=True).importance.sum(axis=0), 1)
    np.testing.assert_array_equal(dci(constant, grid, fast=True).importance, 0)


def test_a_value_that_only_held_out_images_show_counts_as_missed() -> None:
    factor = np.zeros(300, dtype=int)
    factor[::2] = 1
    factor[:2] = 2
    codes = np.column_stack([factor, factor]).astype(float)
    for seed in range(3):  # with rows 0 and 1 on either side of the split
        assert dci(codes, np.column_stack([factor, factor]), seed).informativeness >= 0.98


def test_an_entangled_pair_stands_out() -> None:
    importance = np.array(
        [
            [0.5, 0.4, 0.0, 0.0],
            [0.5, 0.6, 0.0, 0.1],
            [0.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 0.0, 0.9],
        ]
    )
    scores = pair_entanglement(importance, (0, 1))
    assert scores.pair == 0.5
    assert scores.others == pytest.approx(0.0)  # 0.1, 0.1 and three zeros
    assert pair_entanglement(importance, (1, 0)) == scores


def test_factors_are_joined_through_a_third() -> None:
    importance = np.array([[0.7, 0.3, 0.0], [0.3, 0.7, 0.3], [0.0, 0.0, 0.7]])
    assert pair_entanglement(importance, (0, 2)).pair == 0.3


def test_perfect_and_shared_codes() -> None:
    assert pair_entanglement(np.eye(3), (0, 1)).pair == 0
    assert pair_entanglement(np.array([[1.0, 1, 0], [0, 0, 1]]), (0, 1)).pair == 1


def test_rotating_a_pair_entangles_it_alone(identity: np.ndarray, grid: np.ndarray) -> None:
    turn = np.eye(4)
    turn[:2, :2] = np.sqrt(0.5) * np.array([[1, 1], [-1, 1]])
    trees = dci(identity @ turn, grid, fast=True)
    scores = pair_entanglement(trees.importance, (0, 1))
    assert scores.pair > 0.35
    assert scores.others < 0.05


@pytest.mark.parametrize("pair", [(0, 0), (0, 3), (-1, 0)])
def test_what_is_no_pair_is_refused(pair: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not a pair"):
        pair_entanglement(np.eye(3), pair)


def test_other_importances_are_refused() -> None:
    with pytest.raises(ValueError, match="three or more"):
        pair_entanglement(np.eye(2), (0, 1))
    with pytest.raises(ValueError, match="not negative"):
        pair_entanglement(-np.eye(3), (0, 1))


def test_concentration_worked_value() -> None:
    # Rows: (2/3, 1/3) with three quarters of the weight, (0, 1) with the rest.
    importance = np.array([[1.0, 0.5], [0.0, 0.5]])
    entropy = -(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3))
    assert _concentration(importance) == pytest.approx(0.75 * (1 - entropy) + 0.25)
    assert _concentration(importance.T) == pytest.approx(0.5)
