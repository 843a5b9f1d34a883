"""The three measures against worked values, scipy, brute force and each other."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.stats import somersd, spearmanr

from gdrl.graph import MEASURES, association, conditional_difference, somers_d, spearman

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture
def graded() -> np.ndarray:
    """300 images, 5 attributes of different base rates, on the six levels 0, 0.2, .. 1."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 1))
    logits = rng.normal(size=(300, 5)) + shared * [1, 1, -1, 0.5, 0] + [0, -2, 0, 1, -1]
    return np.round(5 / (1 + np.exp(-2 * logits))) / 5


@pytest.fixture
def with_gaps(graded: np.ndarray) -> np.ndarray:
    gaps = np.random.default_rng(1).random(graded.shape) < 0.2
    return np.where(gaps, np.nan, graded)


def off_diagonal_pairs(size: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(size) for j in range(size) if i != j]


def test_conditional_difference_by_hand() -> None:
    # i is high in images 0, 1; j is high in image 0 only: 1/2 - 0 one way, 1 - 1/3 the other.
    scores = np.array([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(conditional_difference(scores), [[0, 1 / 2], [2 / 3, 0]])


def test_conditional_difference_weighs_soft_scores() -> None:
    scores = np.array([[0.8, 1.0], [0.2, 0.5], [0.5, 0.0]])
    high = (0.8 * 1.0 + 0.2 * 0.5) / 1.5
    low = (0.2 * 1.0 + 0.8 * 0.5) / 1.5
    assert conditional_difference(scores)[0, 1] == pytest.approx(high - low)


def test_unsure_scores_shrink_the_conditional_difference() -> None:
    labels = np.array([[1, 1]] * 3 + [[1, 0]] + [[0, 1]] + [[0, 0]] * 3, dtype=float)
    assert conditional_difference(labels)[0, 1] == pytest.approx(0.5)
    assert conditional_difference(0.1 + 0.8 * labels)[0, 1] == pytest.approx(0.32)


def test_somers_d_worked_value_of_the_paper() -> None:
    scores = np.array([[1, 2], [3, 1], [2, 3]]) / 5
    np.testing.assert_allclose(somers_d(scores), [[0, -1 / 3], [-1 / 3, 0]])


def test_somers_d_equals_scipy(graded: np.ndarray) -> None:
    ours = somers_d(graded)
    for i, j in off_diagonal_pairs(5):
        scipys = somersd(graded[:, j], graded[:, i]).statistic
        assert ours[i, j] == pytest.approx(scipys, abs=1e-12)


def test_somers_d_counts_levels_not_expectations(graded: np.ndarray) -> None:
    jitter = np.random.default_rng(2).uniform(-0.09, 0.09, graded.shape)
    np.testing.assert_array_equal(somers_d(np.clip(graded + jitter, 0, 1)), somers_d(graded))


def test_spearman_equals_scipy(graded: np.ndarray) -> None:
    ours = spearman(graded)
    np.testing.assert_allclose(ours + np.eye(5), spearmanr(graded).statistic, atol=1e-12)
    np.testing.assert_array_equal(ours, ours.T)


def test_on_labels_somers_d_is_the_conditional_difference_the_other_way_round() -> None:
    rng = np.random.default_rng(3)
    labels = (rng.random((400, 6)) + 0.3 * rng.random((400, 1)) > 0.7).astype(float)
    np.testing.assert_allclose(somers_d(labels), conditional_difference(labels).T, atol=1e-12)


def test_missing_answers_are_deleted_pair_by_pair(with_gaps: np.ndarray) -> None:
    for measure in MEASURES:
        whole = association(with_gaps, measure)
        for i, j in off_diagonal_pairs(5):
            pair = with_gaps[:, [i, j]]
            complete = pair[~np.isnan(pair).any(axis=1)]
            assert whole[i, j] == pytest.approx(association(complete, measure)[0, 1], abs=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("constant", [0.0, 0.3, 1.0, np.nan])
def test_a_constant_column_has_no_neighbour(measure: str, constant: float) -> None:
    scores = np.random.default_rng(4).random((101, 3))
    scores[:, 1] = constant
    weights = association(scores, measure)
    assert not weights[1].any()
    assert not weights[:, 1].any()
    assert weights[0, 2] != 0


@pytest.mark.parametrize("measure", MEASURES)
def test_equal_and_opposite_labels_reach_the_bounds(measure: str) -> None:
    label = (np.arange(40) % 4 == 0).astype(float)
    weights = association(np.stack([label, label, 1 - label], axis=1), measure)
    np.testing.assert_allclose(weights, [[0, 1, -1], [1, 0, -1], [-1, -1, 0]], atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_counts_stand_for_repeated_images(measure: str, with_gaps: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    counts = rng.multinomial(300, np.full(300, 1 / 300), size=3).astype(float)
    resampled = association(with_gaps, measure, counts)
    for row, weights in zip(counts, resampled, strict=True):
        repeated = np.repeat(with_gaps, row.astype(int), axis=0)
        np.testing.assert_allclose(weights, association(repeated, measure), atol=1e-12)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_images_does_not_matter(measure: str, with_gaps: np.ndarray) -> None:
    shuffled = np.random.default_rng(6).permutation(with_gaps)
    np.testing.assert_allclose(
        association(shuffled, measure), association(with_gaps, measure), atol=1e-12
    )


def test_scores_on_the_wrong_scale_are_refused() -> None:
    with pytest.raises(ValueError, match=r"divide 0\.\.5 expectations by 5"):
        conditional_difference(np.array([[0.0, 5.0], [3.0, 1.0]]))


def test_an_unknown_measure_is_refused() -> None:
    with pytest.raises(REFUSED):
        association(np.zeros((3, 2)), "kendall")  # type: ignore[arg-type]


def test_counts_of_another_length_are_refused() -> None:
    with pytest.raises(REFUSED):
        association(np.zeros((3, 2)), "spearman", np.ones((2, 4)))
