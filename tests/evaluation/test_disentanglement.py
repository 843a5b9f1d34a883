"""Metrics on codes whose score is known."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.linalg import hadamard

from gdrl.evaluation import attribute_auroc, dci, mig

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture(scope="module")
def factors() -> np.ndarray:
    """1,200 images of four independent 0/1 factors."""
    rng = np.random.default_rng(0)
    return (rng.random((1200, 4)) < [0.2, 0.4, 0.5, 0.6]).astype(np.float32)


@pytest.fixture(scope="module")
def rotated(factors: np.ndarray) -> np.ndarray:
    codes = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    noise = 0.05 * np.random.default_rng(1).normal(size=codes.shape)
    return codes @ (hadamard(4) / 2) + noise  # every latent holds as much of every factor


def noisy(factors: np.ndarray, scale: float = 0.02) -> np.ndarray:
    return factors + scale * np.random.default_rng(3).normal(size=factors.shape)


def test_identity_permutation_scale_and_sign_are_perfect(factors: np.ndarray) -> None:
    codes = -3 * noisy(factors)[:, [2, 0, 3, 1]] + 1
    assert mig(codes, factors) == pytest.approx(1, abs=0.02)
    scores = dci(codes, factors, seed=0)
    assert min(scores.disentanglement, scores.completeness, scores.informativeness) > 0.99
    np.testing.assert_allclose(attribute_auroc(codes, factors), 1)


def test_rotated_codes_know_everything_but_are_entangled(
    factors: np.ndarray, rotated: np.ndarray
) -> None:
    assert mig(rotated, factors) < 0.05
    scores = dci(rotated, factors, seed=0)
    assert scores.disentanglement < 0.15
    assert scores.completeness < 0.15
    assert scores.informativeness > 0.99
    assert attribute_auroc(rotated, factors).mean() < 0.85


def test_duplicated_codes_have_no_gap_but_stay_disentangled(factors: np.ndarray) -> None:
    codes = np.hstack([noisy(factors), noisy(factors)])
    assert mig(codes, factors) == pytest.approx(0, abs=1e-9)
    scores = dci(codes, factors, seed=0)
    assert scores.disentanglement > 0.99
    assert scores.completeness < 0.95
    np.testing.assert_allclose(attribute_auroc(codes, factors), 1)


def test_constant_codes_score_zero_and_accuracy_falls_to_the_base_rate(
    factors: np.ndarray,
) -> None:
    codes = np.zeros((1200, 5))
    assert mig(codes, factors) == 0
    scores = dci(codes, factors, seed=0)
    assert (scores.disentanglement, scores.completeness) == (0, 0)
    assert scores.informativeness == pytest.approx(np.mean([0.8, 0.6, 0.5, 0.6]), abs=0.05)
    np.testing.assert_array_equal(attribute_auroc(codes, factors), 0.5)


def test_random_codes_score_near_chance(factors: np.ndarray) -> None:
    codes = np.random.default_rng(4).normal(size=(1200, 4))
    assert mig(codes, factors) < 0.02
    assert (attribute_auroc(codes, factors) < 0.57).all()
    scores = dci(codes, factors, seed=0)
    assert scores.disentanglement < 0.2
    assert scores.informativeness < np.mean([0.8, 0.6, 0.5, 0.6]) + 0.03  # 0.77 where it was fit


def test_dead_latents_change_nothing(factors: np.ndarray) -> None:
    codes = noisy(factors)
    with_dead = np.hstack([codes, np.zeros((1200, 3))])
    assert mig(with_dead, factors) == mig(codes, factors)
    assert dci(with_dead, factors, seed=0).disentanglement > 0.99
    np.testing.assert_array_equal(
        attribute_auroc(with_dead, factors), attribute_auroc(codes, factors)
    )


def test_one_entangled_latent_accounts_for_one_factor_only(factors: np.ndarray) -> None:
    mixed = (factors[:, :1] + factors[:, 1:2]).astype(float)
    alone = [attribute_auroc(mixed, factors[:, [j]])[0] for j in (0, 1)]
    assert min(alone) > 0.7
    assert sorted(attribute_auroc(mixed, factors[:, :2])) == [0.5, max(alone)]


def test_mig_worked_value() -> None:
    # Codes: the factor itself, and a copy that is right in three of four quarters.
    factor = np.array([0, 0, 1, 1])[:, None]
    codes = np.column_stack([factor[:, 0], [0, 0, 1, 0]]).astype(float)
    copy = np.log(2) - (3 / 4 * np.log(3) - 1 / 2 * np.log(2))
    information = np.log(2) + (2 * np.log(2) - 3 / 4 * np.log(3)) - 3 / 2 * np.log(2)
    assert information == pytest.approx(copy)
    assert mig(codes, factor) == pytest.approx(1 - information / np.log(2))


def test_correlated_factors_keep_perfect_codes_below_one(factors: np.ndarray) -> None:
    tied = factors[:, :2].copy()
    tied[:600, 1] = tied[:600, 0]
    assert mig(noisy(tied), tied) < 0.95


def test_continuous_factors_are_binned() -> None:
    factors = np.random.default_rng(5).random((1500, 2)).astype(np.float32)
    assert mig(factors.astype(float), factors) > 0.9
    assert mig(factors @ np.array([[1.0, 1.0], [1.0, -1.0]]), factors) < 0.3


def test_dci_is_a_function_of_its_seed(factors: np.ndarray, rotated: np.ndarray) -> None:
    few, codes = factors[:300, :2], rotated[:300]
    assert dci(codes, few, seed=1) == dci(codes, few, seed=1)
    assert dci(codes, few, seed=1) != dci(codes, few, seed=2)


def test_what_cannot_be_scored_is_refused(factors: np.ndarray) -> None:
    codes = noisy(factors)
    with pytest.raises(ValueError, match="no factor varies"):
        mig(codes, np.ones_like(factors))
    with pytest.raises(ValueError, match="factor 1 does not vary"):
        dci(codes, np.column_stack([factors[:, 0], np.ones(1200)]), seed=0)
    with pytest.raises(ValueError, match="two latents"):
        dci(codes[:, :1], factors, seed=0)
    with pytest.raises(REFUSED):
        mig(codes[:-1], factors)
    with pytest.raises(ValueError, match="not finite"):
        attribute_auroc(np.full_like(codes, np.inf), factors)
