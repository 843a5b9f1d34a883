"""Calibration of intervals and consistency of interventions, by hand."""

import math

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from gdrl.evaluation import interval_calibration, interval_coverage, intervention_consistency

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture
def truths() -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, size=(50, 5, 5))


def test_honest_intervals_are_calibrated(truths: np.ndarray) -> None:
    estimate = truths + 0.1 * np.random.default_rng(1).normal(size=truths.shape)
    half = 0.1 * 1.645
    calibration = interval_calibration(estimate - half, estimate + half, truths)
    assert calibration.is_calibrated
    assert calibration.coverage == pytest.approx(0.9, abs=0.03)
    assert calibration.mean_width == pytest.approx(2 * half)
    assert calibration.num_weights == 50 * 20


def test_narrow_and_wide_intervals_are_not(truths: np.ndarray) -> None:
    estimate = truths + 0.1 * np.random.default_rng(1).normal(size=truths.shape)
    narrow = interval_calibration(estimate - 0.05, estimate + 0.05, truths)
    assert narrow.coverage < 0.5
    assert not narrow.is_calibrated
    wide = interval_calibration(estimate - 1, estimate + 1, truths)
    assert wide.coverage == 1
    assert not wide.is_calibrated


def test_one_run_is_interval_coverage(truths: np.ndarray) -> None:
    truth, estimate = truths[0], truths[0] + 0.05
    low, high = estimate - 0.06 * np.arange(5), estimate + 0.1
    assert interval_calibration(low, high, truth).coverage == interval_coverage(low, high, truth)


def test_the_margin_is_inclusive() -> None:
    truth = np.zeros((5, 5))
    low = np.full((5, 5), -1.0)
    low[0, 1:4] = 0.5  # 17 of 20 covered
    assert interval_calibration(low, np.ones((5, 5)), truth).is_calibrated


def test_true_effects_are_consistent_and_nothing_is_half_so() -> None:
    truth = np.array([[0.0, 0.6, 0.0], [-0.3, 0.0, 0.02], [0.0, 0.0, 0.0]])
    perfect = intervention_consistency(truth, truth)
    assert (perfect.agreement, perfect.error) == (1, 0)
    nothing = intervention_consistency(0 * truth, truth)
    assert nothing.agreement == pytest.approx(4 / 6)
    assert nothing.error == pytest.approx(0.92 / 6)
    assert nothing.spillover == 0
    turned = intervention_consistency(-truth, truth)
    assert turned.agreement == pytest.approx(4 / 6)


def test_spillover_is_what_moves_without_cause() -> None:
    truth = np.array([[0.0, 0.6, 0.0], [0.6, 0.0, 0.0], [0.6, 0.6, 0.0]])
    scores = intervention_consistency(truth + 0.2, truth)
    assert scores.spillover == pytest.approx(0.2)
    assert scores.agreement == pytest.approx(4 / 6)
    assert math.isnan(intervention_consistency(np.ones((3, 3)), np.ones((3, 3))).spillover)


def test_what_cannot_be_judged_is_refused(truths: np.ndarray) -> None:
    with pytest.raises(ValueError, match="upper end"):
        interval_calibration(truths + 1, truths - 1, truths)
    with pytest.raises(ValueError, match="finite"):
        interval_calibration(truths * np.nan, truths, truths)
    with pytest.raises(REFUSED):
        interval_calibration(truths[0, :4], truths[0, :4], truths[0, :4])
    with pytest.raises(ValueError, match="finite"):
        intervention_consistency(truths[0] * np.inf, truths[0])
