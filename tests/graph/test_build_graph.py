"""Bootstrap intervals: they cover, they shrink, they are reproducible."""

import numpy as np
import pytest

from gdrl.config import GraphRecipe
from gdrl.errors import DataError
from gdrl.evaluation import interval_coverage
from gdrl.graph import MEASURES, CorrelationGraph, association, build_graph

NAMES = ("hair", "hat", "smile", "beard", "bangs", "glasses")
# P(attribute | parent shown), P(attribute | parent hidden); the parent is "hair", with P = 0.4.
GIVEN_HAIR = np.array([[0.8, 0.3], [0.5, 0.5], [0.2, 0.5], [0.6, 0.3], [0.25, 0.45]])
P_HAIR = 0.4


def draw(num_images: int, rng: np.random.Generator) -> np.ndarray:
    hair = rng.random(num_images) < P_HAIR
    chance = np.where(hair[:, None], GIVEN_HAIR[:, 0], GIVEN_HAIR[:, 1])
    children = rng.random(chance.shape) < chance
    return np.column_stack([hair, children]).astype(float)


def population() -> np.ndarray:
    """P(j | i) - P(j | not i), exactly: children are independent given the parent."""
    weight = np.array([P_HAIR, 1 - P_HAIR])
    given = np.vstack([[1.0, 0.0], GIVEN_HAIR])
    joint = (given * weight) @ given.T
    np.fill_diagonal(joint, given @ weight)
    prevalence = np.diag(joint)
    covariance = joint - np.outer(prevalence, prevalence)
    truth = covariance / (prevalence * (1 - prevalence))[:, None]
    np.fill_diagonal(truth, 0)
    return truth


def build(scores: np.ndarray, **changes: object) -> CorrelationGraph:
    settings = {**GraphRecipe().measurement, "num_bootstrap": 120, **changes}
    return build_graph(scores, NAMES, **settings)


def test_nominal_90_percent_intervals_cover_the_population() -> None:
    rng = np.random.default_rng(0)
    truth = population()
    coverage = []
    for seed in range(20):
        graph = build(draw(400, rng), confidence=0.9, num_bootstrap=200, seed=seed)
        coverage.append(interval_coverage(graph.lower, graph.upper, truth))
    assert 0.80 <= np.mean(coverage) <= 0.97  # 600 edges


@pytest.mark.parametrize(("confidence", "quantile"), [(0.9, 1.645), (0.5, 0.674)])
def test_intervals_are_as_wide_as_the_normal_theory_says(
    confidence: float, quantile: float
) -> None:
    scores = draw(2_000, np.random.default_rng(10))
    graph = build(scores, confidence=confidence, num_bootstrap=1_000)
    shown = scores[:, 0] == 1
    variances = [scores[rows, 1:].var(axis=0) / rows.sum() for rows in (shown, ~shown)]
    half_width = (graph.upper - graph.lower)[0, 1:] / 2
    np.testing.assert_allclose(half_width, quantile * np.sqrt(sum(variances)), rtol=0.12)


def test_strong_edges_are_drawn_and_the_independent_attribute_stays_mostly_alone() -> None:
    graph = build(draw(3_000, np.random.default_rng(1)), confidence=0.99)
    drawn = {(edge.source, edge.target) for edge in graph.edges()}
    assert {("hair", "hat"), ("hat", "hair"), ("hair", "beard"), ("hair", "glasses")} <= drawn
    assert sum("smile" in pair for pair in drawn) <= 2


@pytest.mark.parametrize("measure", MEASURES)
def test_the_estimate_is_the_association_inside_its_interval(measure: str) -> None:
    scores = draw(500, np.random.default_rng(2))
    graph = build(scores, measure=measure)
    np.testing.assert_array_equal(graph.adjacency, association(scores, measure))
    off = ~np.eye(len(NAMES), dtype=bool)
    assert (graph.lower < graph.adjacency)[off].all()
    assert (graph.adjacency < graph.upper)[off].all()


def test_the_same_seed_gives_the_same_intervals() -> None:
    scores = draw(300, np.random.default_rng(3))
    first, again, other = (build(scores, seed=seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.lower, again.lower)
    assert (first.lower != other.lower).any()


def test_intervals_shrink_with_the_square_root_of_the_images() -> None:
    rng = np.random.default_rng(4)
    few, many = (build(draw(size, rng)) for size in (300, 4_800))
    ratio = (few.upper - few.lower).sum() / (many.upper - many.lower).sum()
    assert 3 < ratio < 5


def test_unsigned_graphs_hold_magnitudes_and_draw_the_same_edges() -> None:
    scores = draw(800, np.random.default_rng(5))
    signed, unsigned = build(scores, signed=True), build(scores, signed=False)
    np.testing.assert_array_equal(unsigned.adjacency, np.abs(signed.adjacency))
    drawn = [{(edge.source, edge.target) for edge in g.edges()} for g in (signed, unsigned)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) < 30, "no interval holds 0: the test says nothing about those that do"
    np.testing.assert_array_equal(
        unsigned.upper, np.maximum(np.abs(signed.lower), np.abs(signed.upper))
    )


def test_support_counts_the_images_that_show_the_source() -> None:
    scores = draw(200, np.random.default_rng(6))
    scores[:50, 1] = np.nan
    support = build(scores).support
    assert support[0, 2] == scores[:, 0].sum()
    assert support[0, 1] == scores[50:, 0].sum()
    assert support[1, 0] == np.nansum(scores[:, 1])


def test_an_attribute_nobody_answered_has_no_edges_and_no_support() -> None:
    scores = draw(200, np.random.default_rng(7))
    scores[:, 3] = np.nan
    graph = build(scores)
    assert not graph.support[3].any()
    assert all("beard" not in (edge.source, edge.target) for edge in graph.edges())


@pytest.mark.parametrize("constant", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("measure", MEASURES)
def test_rounding_draws_no_edge_from_a_constant_column(measure: str, constant: float) -> None:
    scores = np.random.default_rng(8).random((333, 6))
    scores[:, 2] = constant
    graph = build(scores, measure=measure)
    assert all("smile" not in (edge.source, edge.target) for edge in graph.edges())


def test_more_resamples_than_one_pass_holds() -> None:
    graph = build(draw(100, np.random.default_rng(9)), num_bootstrap=101)
    assert len(graph.names) == 6


def test_a_graph_of_one_image_is_refused() -> None:
    with pytest.raises(DataError, match="score more images"):
        build(np.ones((1, 6)))
