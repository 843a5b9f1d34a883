"""TAD at the extremes and by hand."""

import numpy as np
import pytest

from gdrl.evaluation import tad


@pytest.fixture(scope="module")
def shown() -> np.ndarray:
    return (np.random.default_rng(0).random((2000, 3)) < 0.5).astype(float)


def noisy(codes: np.ndarray) -> np.ndarray:
    return codes + 0.01 * np.random.default_rng(1).normal(size=codes.shape)


def test_perfect_codes_gain_half_per_attribute(shown: np.ndarray) -> None:
    scores = tad(-noisy(shown)[:, [2, 0, 1]], shown)
    assert scores.num_captured == 3
    assert scores.score == pytest.approx(1.5, abs=0.1)


def test_duplicates_leave_no_gap(shown: np.ndarray) -> None:
    scores = tad(np.hstack([noisy(shown), noisy(shown)]), shown)
    assert scores.num_captured == 3
    assert scores.score == pytest.approx(0, abs=1e-9)


def test_constant_and_dead_codes_capture_nothing(shown: np.ndarray) -> None:
    assert tad(0 * shown, shown).num_captured == 0
    assert tad(0.1 * noisy(shown), shown).num_captured == 0
    assert tad(0.1 * noisy(shown), shown, dead_range=0.0).num_captured == 3


def test_attributes_that_tell_each_other_are_left_out(shown: np.ndarray) -> None:
    tied = shown.copy()
    tied[:1700, 1] = tied[:1700, 0]
    scores = tad(noisy(tied), tied)
    assert scores.num_captured == 1


def test_tad_worked_value() -> None:
    # Latent 0 ranks the two images that show it on top; latent 1 puts one of them at the bottom.
    shown = np.array([[0], [0], [1], [1]])
    codes = np.array([[0.0, 1], [1, 2], [2, 0], [3, 3]])
    assert tad(codes, shown).score == pytest.approx(1 - 0.5)


def test_other_values_are_refused(shown: np.ndarray) -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        tad(shown, 2 * shown)
