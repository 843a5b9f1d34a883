"""BetaVAE and FactorVAE scores, drawn from arrays."""

import numpy as np
import pytest

from gdrl.evaluation import beta_vae_score, factor_vae_score


def test_perfect_codes(identity: np.ndarray, permuted: np.ndarray, grid: np.ndarray) -> None:
    for codes in (identity, permuted):
        assert beta_vae_score(codes, grid, fast=True) > 0.99
        assert factor_vae_score(codes, grid, fast=True) == 1


def test_rotation_is_seen_by_factor_vae_and_not_by_beta_vae(grid: np.ndarray) -> None:
    """BetaVAE's classifier may combine latents; a quarter turn of two of them is nothing to it."""
    turn = np.eye(4)
    turn[:2, :2] = np.sqrt(0.5) * np.array([[1, 1], [-1, 1]])
    codes = grid @ turn
    assert factor_vae_score(codes, grid, fast=True) < 0.8
    uneven = (grid * [1.0, 0.5, 1.0, 1.0]) @ turn
    assert beta_vae_score(uneven, grid, fast=True) > 0.7


def test_duplicates_and_dead_latents_do_no_harm(
    duplicated: np.ndarray, with_dead: np.ndarray, grid: np.ndarray
) -> None:
    for codes in (duplicated, with_dead):
        assert factor_vae_score(codes, grid, fast=True) == 1
        assert beta_vae_score(codes, grid, fast=True) > 0.99


def test_constant_codes(constant: np.ndarray, grid: np.ndarray) -> None:
    assert factor_vae_score(constant, grid) == 0
    assert beta_vae_score(constant, grid, fast=True) == pytest.approx(0.25, abs=0.05)


def test_unrelated_codes_stand_near_chance(unrelated: np.ndarray, grid: np.ndarray) -> None:
    assert beta_vae_score(unrelated, grid, fast=True) == pytest.approx(0.25, abs=0.06)
    assert factor_vae_score(unrelated, grid, fast=True) == pytest.approx(0.3, abs=0.08)


def test_latents_that_hardly_move_are_left_out(identity: np.ndarray, grid: np.ndarray) -> None:
    small = 0.01 * identity
    assert factor_vae_score(small, grid, fast=True) == 0
    assert factor_vae_score(small, grid, fast=True, dead_std=0.0) == 1


def test_the_seed_decides(rotated: np.ndarray, grid: np.ndarray) -> None:
    for score in (beta_vae_score, factor_vae_score):
        assert score(rotated, grid, fast=True, seed=1) == score(rotated, grid, fast=True, seed=1)
        assert score(rotated, grid, fast=True, seed=1) != score(rotated, grid, fast=True, seed=2)


def test_fast_agrees_with_the_reference(rotated: np.ndarray, grid: np.ndarray) -> None:
    for score in (beta_vae_score, factor_vae_score):
        assert score(rotated, grid, fast=True) == pytest.approx(score(rotated, grid), abs=0.05)


def test_continuous_factors_are_held_within_a_bin() -> None:
    factors = np.random.default_rng(5).random((3000, 3))
    assert factor_vae_score(factors, factors, fast=True) == 1


def test_what_cannot_be_scored_is_refused(identity: np.ndarray, grid: np.ndarray) -> None:
    for score in (beta_vae_score, factor_vae_score):
        with pytest.raises(ValueError, match="factor 1 does not vary"):
            score(identity, grid * [1, 0, 1, 1])
        with pytest.raises(ValueError, match="two factors"):
            score(identity, grid[:, :1])
