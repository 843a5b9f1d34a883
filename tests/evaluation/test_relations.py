"""Graph metrics: the truth scores 1, each way of being wrong is seen by the metric made for it."""

import math

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from gdrl.evaluation import (
    direction_accuracy,
    edge_auroc,
    edge_average_precision,
    interval_coverage,
    sign_accuracy,
    structural_hamming_distance,
    weight_error,
)
from gdrl.graph import conditional_difference, somers_d, spearman

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture
def truth() -> np.ndarray:
    return np.array(
        [
            [0.0, 0.6, 0.0, -0.3],
            [0.3, 0.0, 0.1, 0.0],
            [0.0, 0.05, 0.0, 0.5],
            [-0.5, 0.0, 0.25, 0.0],
        ]
    )


@pytest.fixture
def labels() -> np.ndarray:
    """Chain of attributes from common to rare: each shown mostly where the one before is."""
    rng = np.random.default_rng(0)
    shown = [rng.random(4_000) < 0.5]
    for _ in range(3):
        shown.append(rng.random(4_000) < np.where(shown[-1], 0.5, 0.05))
    return np.stack(shown, axis=1).astype(float)


def test_the_truth_scores_perfectly(truth: np.ndarray) -> None:
    assert edge_auroc(truth, truth) == 1
    assert sign_accuracy(truth, truth) == 1
    assert direction_accuracy(truth, truth) == 1
    assert weight_error(truth, truth) == 0
    assert interval_coverage(truth, truth, truth) == 1


def test_the_transpose_fails_direction_and_nothing_coarser(truth: np.ndarray) -> None:
    assert direction_accuracy(truth.T, truth) == 0
    assert sign_accuracy(truth.T, truth) == 1
    assert edge_auroc(truth.T, truth) == 1
    assert weight_error(truth.T, truth) > 0.08


def test_flipped_signs_fail_sign_alone(truth: np.ndarray) -> None:
    assert sign_accuracy(-truth, truth) == 0
    assert edge_auroc(-truth, truth) == 1
    assert direction_accuracy(-truth, truth) == 1


def test_an_empty_estimate_stands_at_chance(truth: np.ndarray) -> None:
    empty = np.zeros_like(truth)
    assert edge_auroc(empty, truth) == 0.5
    assert direction_accuracy(empty, truth) == 0.5
    assert sign_accuracy(empty, truth) == 0
    assert weight_error(empty, truth) == pytest.approx(np.abs(truth).sum() / 12)


def test_scale_is_seen_by_weight_error_alone(truth: np.ndarray) -> None:
    assert edge_auroc(truth / 10, truth) == 1
    assert direction_accuracy(truth / 10, truth) == 1
    assert weight_error(truth / 10, truth) == pytest.approx(0.9 * np.abs(truth).sum() / 12)


def test_edge_auroc_by_hand(truth: np.ndarray) -> None:
    # Six true edges, six others. Losing the 0.25 edge costs it the other six: one above (0.1),
    # one above (0.05), four ties at 0.
    estimated = truth.copy()
    estimated[3, 2] = 0
    assert edge_auroc(estimated, truth) == pytest.approx((5 * 6 + 4 / 2) / 36)


def test_average_precision_by_hand(truth: np.ndarray) -> None:
    assert edge_average_precision(truth, truth) == 1
    # Two pairs of attributes above the edge of 0.6: it comes third, the other five follow.
    estimated = truth.copy()
    estimated[0, 2], estimated[2, 0] = 0.9, 0.8
    expected = np.mean([k / (k + 2) for k in range(1, 7)])
    estimated += 1e-6 * np.arange(16).reshape(4, 4)  # no ties
    assert edge_average_precision(estimated, truth) == pytest.approx(expected)
    assert edge_average_precision(np.zeros((4, 4)), truth) == pytest.approx(6 / 12)
    assert math.isnan(edge_average_precision(truth, truth, threshold=0.9))


def test_hamming_distance_counts_pairs(truth: np.ndarray) -> None:
    assert structural_hamming_distance(truth, truth) == 0
    assert structural_hamming_distance(np.zeros((4, 4)), truth) == 3  # of six pairs
    chain = np.array([[0.0, 0.5, 0.0], [0.0, 0.0, 0.5], [0.0, 0.0, 0.0]])
    assert structural_hamming_distance(chain.T, chain) == 2  # a turned edge counts once
    assert structural_hamming_distance(np.ones((3, 3)), chain) == 3
    assert structural_hamming_distance(-chain, chain) == 0


def test_direction_counts_only_pairs_that_are_truly_asymmetric(truth: np.ndarray) -> None:
    estimated = truth.copy()
    estimated[1, 2], estimated[2, 1] = truth[2, 1], truth[1, 2]  # gap 0.05: not counted
    assert direction_accuracy(estimated, truth) == 1
    estimated[0, 1], estimated[1, 0] = truth[1, 0], truth[0, 1]  # one of three
    assert direction_accuracy(estimated, truth) == pytest.approx(2 / 3)


def test_the_order_of_the_attributes_does_not_matter(truth: np.ndarray) -> None:
    estimated = truth + np.random.default_rng(0).normal(scale=0.3, size=truth.shape)
    order = np.ix_([2, 0, 3, 1], [2, 0, 3, 1])
    for metric in (
        edge_auroc,
        edge_average_precision,
        sign_accuracy,
        direction_accuracy,
        weight_error,
        structural_hamming_distance,
    ):
        assert metric(estimated[order], truth[order]) == pytest.approx(metric(estimated, truth))


def test_the_diagonal_is_never_looked_at(truth: np.ndarray) -> None:
    loops = truth + 7 * np.eye(4)
    assert edge_auroc(loops, truth) == 1
    assert weight_error(loops, truth) == 0
    assert interval_coverage(loops, loops, truth) == 1


def test_measures_and_direction(labels: np.ndarray) -> None:
    # On labels the paper's Somers' D is the transpose of the conditional difference; Spearman has
    # no direction at all.
    truth = conditional_difference(labels[:2_000])
    fresh = labels[2_000:]
    assert direction_accuracy(conditional_difference(fresh), truth) == 1
    assert direction_accuracy(somers_d(fresh), truth) == 0
    assert direction_accuracy(spearman(fresh), truth) == 0.5


def test_interval_coverage_by_hand(truth: np.ndarray) -> None:
    lower, upper = truth - 0.01, truth + 0.01
    lower[0, 1] = 0.61
    upper[0, 1] = 0.7
    upper[3, 0] = -0.51
    lower[3, 0] = -0.6
    assert interval_coverage(lower, upper, truth) == pytest.approx(10 / 12)


def test_a_score_over_nothing_is_nan(truth: np.ndarray) -> None:
    assert math.isnan(edge_auroc(truth, truth, threshold=0.9))
    assert math.isnan(edge_auroc(truth, truth, threshold=0.0))
    assert math.isnan(sign_accuracy(truth, truth, threshold=0.9))
    assert math.isnan(direction_accuracy(truth, truth + truth.T))


def test_graphs_that_cannot_be_compared_are_refused(truth: np.ndarray) -> None:
    with pytest.raises(REFUSED):
        edge_auroc(truth[:3, :3], truth)
    with pytest.raises(ValueError, match="not finite"):
        weight_error(np.full((4, 4), np.nan), truth)
    with pytest.raises(ValueError, match="fewer than two"):
        weight_error(np.zeros((1, 1)), np.zeros((1, 1)))
