"""R² and MCC at the extremes and by hand."""

import numpy as np
import pytest

from gdrl.evaluation import mcc, r2


def test_r2_is_blind_to_rotation_and_sees_absence(
    identity: np.ndarray, rotated: np.ndarray, constant: np.ndarray, grid: np.ndarray
) -> None:
    assert r2(identity, grid) > 0.99
    assert r2(rotated, grid) > 0.99
    assert r2(constant, grid) == pytest.approx(0, abs=1e-12)
    assert r2(identity[:, :2], grid) == pytest.approx(0.5, abs=0.01)


def test_noise_is_explained_in_sample_only() -> None:
    rng = np.random.default_rng(0)
    codes, factors = rng.normal(size=(60, 20)), rng.normal(size=(60, 2))
    assert r2(codes, factors) > 0.2
    assert r2(codes, factors, held_out=True) < 0


def test_mcc_at_the_extremes(
    permuted: np.ndarray,
    rotated: np.ndarray,
    duplicated: np.ndarray,
    constant: np.ndarray,
    unrelated: np.ndarray,
    grid: np.ndarray,
) -> None:
    assert mcc(permuted, grid) > 0.99
    assert mcc(duplicated, grid) > 0.99
    assert mcc(rotated, grid) == pytest.approx(0.5, abs=0.01)
    assert mcc(constant, grid) == 0
    assert mcc(unrelated, grid) < 0.06


def test_one_latent_counts_for_one_factor(grid: np.ndarray) -> None:
    assert mcc(grid[:, :1].astype(float), grid) == pytest.approx(1 / 4)


def test_ranks_do_not_mind_a_monotone_map(grid: np.ndarray) -> None:
    warped = np.exp(3.0 * grid)
    assert mcc(warped, grid, measure="spearman") == pytest.approx(1)
    assert mcc(warped, grid) < 0.8


def test_what_cannot_be_scored_is_refused(identity: np.ndarray, grid: np.ndarray) -> None:
    for score in (r2, mcc):
        with pytest.raises(ValueError, match="factor 0 does not vary"):
            score(identity, grid * [0, 1, 1, 1])
