"""Modularity and mutual information at the extremes and by hand."""

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from gdrl.evaluation import modularity
from gdrl.evaluation.information import entropies, mutual_information


def test_information_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.integers(7, size=(300, 3)), rng.integers(3, size=(300, 2))
    theirs = [[mutual_info_score(a, b) for b in right.T] for a in left.T]
    np.testing.assert_allclose(mutual_information(left, right), theirs)
    np.testing.assert_allclose(entropies(right), [mutual_info_score(b, b) for b in right.T])


def test_modularity_at_the_extremes(
    identity: np.ndarray,
    permuted: np.ndarray,
    duplicated: np.ndarray,
    rotated: np.ndarray,
    constant: np.ndarray,
    grid: np.ndarray,
) -> None:
    for codes in (identity, permuted, duplicated):
        assert modularity(codes, grid) > 0.99
    assert modularity(rotated, grid) < 0.1
    assert modularity(constant, grid) == 0


def test_dead_latents_lower_the_mean(
    identity: np.ndarray, with_dead: np.ndarray, grid: np.ndarray
) -> None:
    assert modularity(with_dead, grid) == pytest.approx(4 / 6 * modularity(identity, grid))


def test_modularity_worked_value() -> None:
    # One latent tells both of two bits: all the information it could spill, it spills.
    bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    both = (2 * bits[:, :1] + bits[:, 1:]).astype(float)
    assert modularity(both, bits) == pytest.approx(0)
    assert modularity(np.hstack([both, bits[:, :1]]), bits) == pytest.approx(0.5)


def test_modularity_needs_two_factors(identity: np.ndarray, grid: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two factors"):
        modularity(identity, grid * [1, 0, 0, 0])
