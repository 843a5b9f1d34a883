"""Grids of factors, correlations injected into them, and the exact truth of both."""

import math

import numpy as np
import pytest

from gdrl.data import dsprites_like, shapes3d_like
from gdrl.data.correlation import (
    INDEPENDENT,
    SIGMAS,
    Correlation,
    joint,
    population_association,
    population_mean,
    sample,
    thresholded_association,
)
from gdrl.data.factor_grid import FactorGrid
from gdrl.errors import DataError
from gdrl.graph import conditional_difference

GRID = FactorGrid(("a", "b", "c"), (4, 5, 3))
SETTINGS = [
    pytest.param(world.GRID, pairs, id=f"{world.__name__.rpartition('.')[2]}-{name}")
    for world in (dsprites_like, shapes3d_like)
    for name, pairs in world.PAIRS.items()
]


def test_the_grid_counts_like_dsprites_last_factor_fastest() -> None:
    assert len(GRID) == 60
    assert GRID.factors(np.array([0, 1, 3, 59])).tolist() == [
        [0, 0, 0], [0, 0, 1], [0, 1, 0], [3, 4, 2]
    ]  # fmt: skip
    everything = np.arange(60)
    assert np.array_equal(GRID.index(GRID.factors(everything)), everything)
    assert GRID.scaled(np.array([[3, 2, 1]])).tolist() == [[1.0, 0.5, 0.5]]


def test_what_is_not_in_the_grid_is_refused() -> None:
    with pytest.raises(DataError, match="60 combinations: 0 to 59"):
        GRID.factors(np.array([60]))
    with pytest.raises(DataError, match="'b' takes 0 to 4, not 5 to 5"):
        GRID.index(np.array([[0, 5, 0]]))
    with pytest.raises(DataError, match=r"3 factors \(a, b, c\), not 2"):
        GRID.scaled(np.array([[0, 0]]))


def test_the_density_is_that_of_the_literature() -> None:
    table = joint(GRID, Correlation((("a", "b"),), sigma=0.3))
    a, b = np.arange(4)[:, None] / 3, np.arange(5)[None, :] / 4
    expected = np.exp(-((a - b) ** 2) / (2 * 0.3**2))
    np.testing.assert_allclose(table.sum(axis=2), expected / expected.sum())
    # c is independent of both and uniform
    np.testing.assert_allclose(table, np.repeat(table.sum(axis=2)[..., None] / 3, 3, axis=2))


def test_weights_of_several_pairs_multiply() -> None:
    both = joint(GRID, Correlation((("a", "b"), ("b", "c")), sigma=0.2))
    one = joint(GRID, Correlation((("a", "b"),), sigma=0.2))
    other = joint(GRID, Correlation((("b", "c"),), sigma=0.2))
    np.testing.assert_allclose(both, one * other / (one * other).sum())


def test_all_means_every_other_factor() -> None:
    short = joint(GRID, Correlation((("b", "all"),), sigma=0.4))
    long = joint(GRID, Correlation((("b", "a"), ("b", "c")), sigma=0.4))
    np.testing.assert_array_equal(short, long)


def test_infinite_sigma_and_no_pair_are_the_uncorrelated_world() -> None:
    uniform = joint(GRID, INDEPENDENT)
    np.testing.assert_allclose(uniform, 1 / 60)
    np.testing.assert_allclose(joint(GRID, Correlation((("a", "b"),), math.inf)), uniform)
    assert not population_association(GRID, INDEPENDENT).any()
    assert not thresholded_association(GRID, INDEPENDENT).any()


def test_association_of_two_valued_factors_is_a_difference_of_probabilities() -> None:
    binary = FactorGrid(("a", "b"), (2, 2))
    correlation = Correlation((("a", "b"),), sigma=1.0)
    unlike = math.exp(-1 / 2)
    expected = 1 / (1 + unlike) - unlike / (1 + unlike)  # P(b | a) - P(b | not a)
    for association in (population_association, thresholded_association):
        assert association(binary, correlation)[0, 1] == pytest.approx(expected)
        assert association(binary, correlation)[1, 0] == pytest.approx(expected)


def test_association_by_hand_for_factors_of_three_and_two_values() -> None:
    grid = FactorGrid(("a", "b"), (3, 2))
    correlation = Correlation((("a", "b"),), sigma=0.5)
    p = np.exp(-(np.array([[0, 1], [0.5, 0.5], [1, 0]]) ** 2) / 0.5)
    p /= p.sum()
    v, w = np.array([0, 0.5, 1]), np.array([0, 1])
    given_high = (p * v[:, None]).sum(axis=0) / (p * v[:, None]).sum() @ w
    given_low = (p * (1 - v)[:, None]).sum(axis=0) / (p * (1 - v)[:, None]).sum() @ w
    assert population_association(grid, correlation)[0, 1] == pytest.approx(given_high - given_low)
    assert thresholded_association(grid, correlation)[0, 1] == pytest.approx(
        p[2, 1] / p[2].sum() - p[:2, 1].sum() / p[:2].sum()
    )


def test_the_density_has_no_direction_of_its_own() -> None:
    correlation = Correlation((("a", "c"), ("b", "c")), 0.2)
    soft = population_association(GRID, correlation)
    assert population_mean(GRID, correlation) == pytest.approx([0.5] * 3)
    assert np.array_equal(soft, soft.T)
    assert soft[0, 2] > soft[0, 1] > 0.2
    # b and c have a middle value, which counts as low
    hard = thresholded_association(GRID, correlation)
    assert np.abs(hard - hard.T).max() > 0.05


def test_factors_that_always_agree() -> None:
    grid = FactorGrid(("a", "b"), (4, 4))
    same = Correlation((("a", "b"),), sigma=0.04)
    assert thresholded_association(grid, same)[0, 1] == pytest.approx(1)
    # var / (mean (1 - mean)) of 0, 1/3, 2/3, 1
    assert population_association(grid, same)[0, 1] == pytest.approx((5 / 36) / 0.25)


@pytest.mark.parametrize(("grid", "pairs"), SETTINGS)
def test_every_setting_of_the_literature_is_a_distribution(
    grid: FactorGrid, pairs: tuple[tuple[str, str], ...]
) -> None:
    for sigma in SIGMAS:
        table = joint(grid, Correlation(pairs, sigma))
        assert table.shape == grid.sizes
        assert table.sum() == pytest.approx(1)


@pytest.mark.parametrize(("grid", "pairs"), SETTINGS)
def test_named_pairs_are_associated_and_the_rest_is_not(
    grid: FactorGrid, pairs: tuple[tuple[str, str], ...]
) -> None:
    adjacency = population_association(grid, Correlation(pairs, 0.1))
    if pairs[0][1] == "all":
        assert (adjacency[~np.eye(len(grid.sizes), dtype=np.bool_)] > 0.1).all()
        return
    named = {frozenset((grid.position(a), grid.position(b))) for a, b in pairs}
    found = {frozenset(map(int, pair)) for pair in np.argwhere(np.abs(adjacency) > 1e-9)}
    assert found == named


def test_stronger_correlation_is_stronger_association() -> None:
    weights = [
        population_association(shapes3d_like.GRID, Correlation((("floor hue", "wall hue"),), s))[
            0, 1
        ]
        for s in SIGMAS
    ]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] == 0


def test_a_sample_tends_to_the_truth_that_the_graph_measures() -> None:
    correlation = Correlation((("a", "b"), ("b", "c")), 0.2)
    scores = GRID.scaled(sample(GRID, 40_000, seed=1, correlation=correlation))
    truth = population_association(GRID, correlation)
    assert np.abs(conditional_difference(scores) - truth).max() < 0.02
    np.testing.assert_allclose(scores.mean(axis=0), population_mean(GRID, correlation), atol=0.01)


def test_sampling_follows_its_seed() -> None:
    correlation = Correlation((("a", "b"),), 0.1)
    once = sample(GRID, 100, 3, correlation)
    assert np.array_equal(once, sample(GRID, 100, 3, correlation))
    assert not np.array_equal(once, sample(GRID, 100, 4, correlation))


def test_a_fixed_factor_conditions_the_others() -> None:
    correlation = Correlation((("a", "b"),), 0.2)
    drawn = sample(GRID, 20_000, 0, correlation, fixed={"a": 3})
    assert (drawn[:, 0] == 3).all()
    given = joint(GRID, correlation)[3].sum(axis=1)
    share = np.bincount(drawn[:, 1], minlength=5) / len(drawn)
    np.testing.assert_allclose(share, given / given.sum(), atol=0.02)
    everything = sample(GRID, 2, 0, fixed={"a": 1, "b": 2, "c": 0})
    assert everything.tolist() == [[1, 2, 0], [1, 2, 0]]


@pytest.mark.parametrize(
    ("correlation", "complaint"),
    [
        (Correlation((("a", "d"),)), "no factor 'd'; choose one of a, b, c"),
        (Correlation((("a", "a"),)), "'a' is paired with itself"),
        (Correlation((("a", "b"), ("b", "a"))), "named twice"),
        (Correlation((("a", "all"), ("c", "a"))), "named twice"),
        (Correlation((("a", "b"),), sigma=0.0), "sigma must be above 0"),
    ],
)
def test_impossible_correlations_are_refused(correlation: Correlation, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        joint(GRID, correlation)


def test_a_fixed_value_outside_the_grid_is_refused() -> None:
    with pytest.raises(DataError, match="'c' takes 0 to 2, not 3"):
        sample(GRID, 1, 0, fixed={"c": 3})
