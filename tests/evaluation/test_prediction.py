"""SAP and explicitness at the extremes; the one-feature SVM against scikit-learn's."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from gdrl.evaluation import explicitness, sap
from gdrl.evaluation.svm import accuracy_of_one_feature


def test_sap_at_the_extremes(
    permuted: np.ndarray,
    duplicated: np.ndarray,
    constant: np.ndarray,
    unrelated: np.ndarray,
    grid: np.ndarray,
) -> None:
    # Two of four ordered values are no half-line: a perfect scalar code errs on some of them.
    assert sap(permuted, grid) > 0.2
    assert sap(duplicated, grid) < 0.02
    assert sap(constant, grid) == 0
    assert sap(unrelated, grid) < 0.05


def test_sap_of_two_valued_factors_reaches_one_half(grid: np.ndarray) -> None:
    shown = grid // 2
    assert sap(shown.astype(float), shown) == pytest.approx(0.5, abs=0.05)


def test_continuous_sap_is_a_gap_of_squared_correlations(
    identity: np.ndarray, rotated: np.ndarray, with_dead: np.ndarray, grid: np.ndarray
) -> None:
    assert sap(identity, grid, continuous=True) > 0.98
    assert sap(with_dead, grid, continuous=True) == sap(identity, grid, continuous=True)
    assert sap(rotated, grid, continuous=True) < 0.02
    codes, factor = np.array([[1.0, 1], [2, 0], [3, 1], [4, 0]]), np.array([[1.0], [2], [3], [4]])
    assert sap(codes, factor, continuous=True) == pytest.approx(1 - 0.2)


@pytest.mark.parametrize("num_values", [2, 3, 5])
def test_the_svm_is_scikit_learns(num_values: int) -> None:
    rng = np.random.default_rng(num_values)
    classes = rng.integers(num_values, size=600)
    feature = classes + rng.normal(size=600)
    reference = LinearSVC(C=0.01, class_weight="balanced", tol=1e-10, max_iter=100_000)
    reference.fit(feature[:400, None], classes[:400])
    theirs = reference.score(feature[400:, None], classes[400:])
    ours = accuracy_of_one_feature(feature[:400], classes[:400], feature[400:], classes[400:])
    assert ours == pytest.approx(theirs)


def test_explicitness_at_the_extremes(
    grid: np.ndarray, constant: np.ndarray, unrelated: np.ndarray, blurred: object
) -> None:
    assert callable(blurred)
    shown = grid // 2
    codes = blurred(shown.astype(float))
    turned = codes @ np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    assert explicitness(codes, shown) > 0.999
    assert explicitness(turned, shown) > 0.999
    assert explicitness(constant, shown) == 0.5
    assert explicitness(unrelated, shown) == pytest.approx(0.5, abs=0.05)


def test_middle_values_are_no_half_space(identity: np.ndarray, grid: np.ndarray) -> None:
    # AUROC 1 at both ends, 2/3 in between: one neighbour lies on the wrong side.
    assert explicitness(identity, grid) == pytest.approx(5 / 6, abs=0.02)
    assert explicitness(identity, grid, fast=True) == pytest.approx(
        explicitness(identity, grid), abs=0.04
    )


def test_what_cannot_be_scored_is_refused(identity: np.ndarray, grid: np.ndarray) -> None:
    for score in (sap, explicitness):
        with pytest.raises(ValueError, match="factor 2 does not vary"):
            score(identity, grid * [1, 1, 0, 1])
    with pytest.raises(ValueError, match="two latents"):
        sap(identity[:, :1], grid)
