import numpy as np
import pytest

from gdrl.training.balance import balanced


def answered(scores: np.ndarray) -> np.ndarray:
    return np.ones(scores.shape, dtype=bool)


def correlation(scores: np.ndarray, rows: np.ndarray) -> float:
    return float(np.corrcoef(scores[rows].T)[0, 1])


@pytest.fixture
def tied() -> np.ndarray:
    """Two attributes of 1,500 images that correlate at 0.9, and one of its own."""
    noise = np.random.default_rng(0).normal(size=(3, 1_500))
    first = noise[0]
    return np.stack([first, 0.9 * first + 0.19**0.5 * noise[1], noise[2]], axis=1)


def test_attributes_that_go_together_are_seen_apart(tied: np.ndarray) -> None:
    rows = balanced(tied, answered(tied), least_effective=600)
    assert correlation(tied, np.arange(1_500)) == pytest.approx(0.9, abs=0.02)
    assert correlation(tied, rows) < 0.75
    counts = np.bincount(rows, minlength=1_500)
    apart = np.abs(tied[:, 0] - tied[:, 1])
    assert counts[apart.argmax()] > counts[apart.argmin()]
    assert 1 / np.square(counts / counts.sum()).sum() == pytest.approx(600, rel=0.05)


def test_a_full_correction_undoes_a_mild_correlation() -> None:
    """Nothing but chance is left of a correlation of 0.4 in so many images."""
    first, second = np.random.default_rng(0).normal(size=(2, 20_000))
    scores = np.stack([first, 0.4 * first + 0.84**0.5 * second], axis=1)
    assert correlation(
        scores, balanced(scores, answered(scores), least_effective=1)
    ) == pytest.approx(0, abs=0.03)


def test_few_images_are_drawn_all_alike(tied: np.ndarray) -> None:
    assert balanced(tied[:300], answered(tied[:300]), least_effective=300).tolist() == list(
        range(300)
    )


def test_one_attribute_alone_has_nothing_to_be_told_from() -> None:
    scores = np.random.default_rng(0).random((500, 1))
    assert balanced(scores, answered(scores), least_effective=300).tolist() == list(range(500))


def test_attributes_that_always_agree_or_never_change_are_no_fault() -> None:
    scores = np.tile((np.arange(400) % 2.0)[:, None], (1, 3))
    scores[:, 2] = 1.0
    assert balanced(scores, answered(scores), least_effective=100).tolist() == list(range(400))


def test_an_unanswered_question_is_no_evidence(tied: np.ndarray) -> None:
    """One image stands out by a score that was not given: it counts like its neighbours."""
    odd = int(np.abs(tied[:, 0] - tied[:, 1]).argmax())
    without = answered(tied)
    without[odd, 1] = False
    before, after = (
        np.bincount(balanced(tied, given, 300), minlength=1_500)[odd]
        for given in (answered(tied), without)
    )
    assert after < before


@pytest.mark.parametrize("shape", [(5, 0), (5, 2), (1, 3)])
def test_without_attributes_answers_or_other_images_all_are_alike(shape: tuple[int, int]) -> None:
    rows = balanced(np.zeros(shape), np.zeros(shape, dtype=bool), least_effective=1)
    assert rows.tolist() == list(range(shape[0]))
