"""InfoMEC at the extremes; information by neighbours against scikit-learn's."""

import math

import numpy as np
import pytest
from sklearn.feature_selection import mutual_info_classif

from gdrl.evaluation import infomec
from gdrl.evaluation.infomec import neighbor_information


def test_perfect_codes(identity: np.ndarray, permuted: np.ndarray, grid: np.ndarray) -> None:
    for codes in (identity, permuted):
        scores = infomec(codes, grid)
        assert min(scores.infom, scores.infoc) > 0.97
        assert scores.infoe > 0.9


def test_rotated_codes_are_explicit_but_mixed(rotated: np.ndarray, grid: np.ndarray) -> None:
    scores = infomec(rotated, grid)
    assert max(scores.infom, scores.infoc) < 0.35
    assert scores.infoe > 0.9


def test_duplicated_codes_are_modular_but_not_compact(
    duplicated: np.ndarray, grid: np.ndarray
) -> None:
    scores = infomec(duplicated, grid)
    assert scores.infom > 0.97
    assert scores.infoc == pytest.approx((1 / 2 - 1 / 8) / (1 - 1 / 8), abs=0.02)


def test_dead_latents_are_pruned(
    identity: np.ndarray, with_dead: np.ndarray, grid: np.ndarray
) -> None:
    pruned, whole = infomec(with_dead, grid), infomec(identity, grid)
    assert pruned.num_active == 4
    assert pruned.infom == pytest.approx(whole.infom, abs=0.02)
    assert pruned.infoc == pytest.approx(whole.infoc, abs=0.02)


def test_constant_codes_and_a_single_latent(
    constant: np.ndarray, identity: np.ndarray, grid: np.ndarray
) -> None:
    nothing = infomec(constant, grid)
    assert (nothing.infom, nothing.infoe, nothing.infoc, nothing.num_active) == (0, 0, 0, 0)
    assert math.isnan(infomec(identity[:, :1], grid).infoc)


def test_unrelated_codes_predict_nothing(unrelated: np.ndarray, grid: np.ndarray) -> None:
    assert infomec(unrelated, grid).infoe == pytest.approx(0, abs=0.02)


def test_discrete_codes_are_counted(grid: np.ndarray) -> None:
    scores = infomec(grid.astype(float), grid, discrete_codes=True)
    assert (scores.infom, scores.infoc) == pytest.approx((1, 1))
    assert scores.infoe > 0.99


def test_fast_agrees_with_the_reference(rotated: np.ndarray, grid: np.ndarray) -> None:
    codes, factors = np.tile(rotated, (3, 1)), np.tile(grid, (3, 1))
    codes = codes + 0.3 * np.random.default_rng(0).normal(size=codes.shape)
    fast, whole = infomec(codes, factors, fast=True), infomec(codes, factors)
    assert fast.infom == pytest.approx(whole.infom, abs=0.05)
    assert fast.infoe == pytest.approx(whole.infoe, abs=0.05)


def test_neighbor_information_is_scikit_learns(rotated: np.ndarray, grid: np.ndarray) -> None:
    codes = rotated + 0.5 * np.random.default_rng(0).normal(size=rotated.shape)
    ours = neighbor_information(grid, codes, np.random.default_rng(0))
    theirs = [
        mutual_info_classif(codes, column, discrete_features=False, n_neighbors=10, random_state=0)
        for column in grid.T
    ]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_what_cannot_be_scored_is_refused(identity: np.ndarray, grid: np.ndarray) -> None:
    with pytest.raises(ValueError, match="factor 0 does not vary"):
        infomec(identity, grid * [0, 1, 1, 1])
    with pytest.raises(ValueError, match="two factors"):
        infomec(identity, grid[:, :1])
