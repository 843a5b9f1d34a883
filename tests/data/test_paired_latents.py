"""Moments of every sampler, and mixings that can be undone."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from scipy.special import gamma, ive

from gdrl.config import PairedLatentsRecipe
from gdrl.data.invertible_mixing import draw_mixing
from gdrl.data.paired_latents import (
    draw_conditional,
    draw_marginal,
    draw_pairs,
    noise,
    von_mises_fisher,
)

NUM = 40_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("law", "variance", "fourth"),
    [
        ("normal", 1.0, 3.0),
        ("laplace", 2.0, 24.0),
        ("generalised_normal", gamma(3 / 3) / gamma(1 / 3), gamma(5 / 3) / gamma(1 / 3)),
    ],
)
def test_noise_has_the_moments_of_its_law(law: str, variance: float, fourth: float, rng) -> None:
    drawn = noise(law, (NUM, 4), 0.5, rng) / 0.5
    assert drawn.mean() == pytest.approx(0, abs=0.02)
    assert (drawn**2).mean() == pytest.approx(variance, rel=0.03)
    assert (drawn**4).mean() == pytest.approx(fourth, rel=0.08)


@pytest.mark.parametrize(("dim", "kappa"), [(2, 1.0), (3, 20.0), (5, 10.0), (10, 0.3)])
def test_von_mises_fisher_has_its_mean_length_and_no_other_direction(dim, kappa, rng) -> None:
    means = np.tile(np.eye(dim)[0], (NUM, 1))
    drawn = von_mises_fisher(means, kappa, rng)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1)
    expected = ive(dim / 2, kappa) / ive(dim / 2 - 1, kappa)
    assert drawn.mean(axis=0)[0] == pytest.approx(expected, abs=0.01)
    np.testing.assert_allclose(drawn.mean(axis=0)[1:], 0, atol=0.02)


def test_the_uniform_sphere_is_uniform(rng) -> None:
    drawn = draw_marginal(PairedLatentsRecipe(dim=3), NUM, rng)
    np.testing.assert_allclose(drawn.T @ drawn / NUM, np.eye(3) / 3, atol=0.01)
    # Archimedes: each coordinate of the sphere in three dimensions is uniform.
    assert stats.kstest((drawn[:, 0] + 1) / 2, "uniform").pvalue > 0.01


@pytest.mark.parametrize("law", ["laplace", "normal", "generalised_normal"])
def test_a_box_confines_the_conditional_without_bending_it(law: str, rng) -> None:
    recipe = PairedLatentsRecipe(space="box", conditional=law, conditional_scale=0.3, dim=1)
    around = np.full((NUM, 1), 0.2)
    drawn = draw_conditional(recipe, around, rng)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    free = 0.2 + noise(law, (4 * NUM,), 0.3, rng)
    kept = free[(free >= 0) & (free <= 1)]
    assert stats.ks_2samp(drawn[:, 0], kept).pvalue > 0.01


@pytest.mark.parametrize("law", ["normal", "laplace", "generalised_normal"])
@pytest.mark.parametrize("space", ["sphere", "box", "unbounded"])
def test_every_marginal_stays_in_its_space_and_keeps_its_middle(space: str, law: str, rng) -> None:
    recipe = PairedLatentsRecipe(space=space, marginal=law, conditional="laplace", dim=3)
    drawn = draw_marginal(recipe, NUM, rng)
    middle = 0.5 if space == "box" else 0.0
    np.testing.assert_allclose(drawn.mean(axis=0), middle, atol=0.03)
    if space == "sphere":
        np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1)
    elif space == "box":
        assert (drawn.min() >= 0, drawn.max() <= 1) == (True, True)
    else:
        expected = {"normal": 1.0, "laplace": 2.0, "generalised_normal": 1 / gamma(1 / 3)}[law]
        assert drawn.var() == pytest.approx(expected, rel=0.05)


def test_pairs_share_what_is_shared_and_nothing_private(rng) -> None:
    recipe = PairedLatentsRecipe(dim=4, private_dim=2, conditional_scale=0.05)
    pairs = draw_pairs(recipe, NUM, rng)
    assert (pairs.first * pairs.second).sum(axis=1).mean() > 0.9
    everything = np.hstack([pairs.first, pairs.first_private, pairs.second_private])
    correlation = np.corrcoef(everything, rowvar=False)
    np.testing.assert_allclose(correlation, np.eye(8), atol=0.03)


def test_a_seed_decides_everything() -> None:
    recipe = PairedLatentsRecipe()
    one, same, other = (draw_pairs(recipe, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not np.array_equal(one.first, other.first)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"space": "box"}, "vmf lives on the sphere"),
        ({"space": "unbounded", "conditional": "normal"}, "no uniform distribution"),
        ({"dim": 1}, "needs dim of at least 2"),
    ],
)
def test_laws_that_a_space_has_not_are_refused(settings, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PairedLatentsRecipe(**settings)


@pytest.mark.parametrize("dim", [3, 10])
def test_a_mixing_is_invertible_and_well_conditioned(dim: int, rng) -> None:
    mixing = draw_mixing(dim, rng)
    latents = rng.standard_normal((500, dim))
    np.testing.assert_allclose(mixing.inverse(mixing(latents)), latents, atol=1e-10)
    typical = rng.uniform(-1, 1, (101, dim, dim))
    typical /= np.linalg.norm(typical, axis=1, keepdims=True)
    assert mixing.condition() < np.median(np.linalg.cond(typical)) / 2


def test_a_mixing_is_no_linear_map(rng) -> None:
    mixing = draw_mixing(4, rng)
    latents = rng.standard_normal((50, 4))
    assert np.abs(mixing(-latents) + mixing(latents)).max() > 0.1
