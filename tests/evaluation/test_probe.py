import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from gdrl.errors import DataError
from gdrl.evaluation.probe import Penalty, draw_shots, fit_probe


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def clusters(rng: np.random.Generator, number: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Four classes at the corners of a square, and six features of noise."""
    labels = rng.integers(0, 4, number)
    corners = np.stack([labels % 2, labels // 2], axis=1) * 2.0 - 1
    features = np.hstack([corners, np.zeros((number, 6))])
    return features + noise * rng.standard_normal(features.shape), labels


def test_separable_classes_are_told_apart_from_a_few_shots(rng) -> None:
    features, labels = clusters(rng, 2_000, noise=0.1)
    fit, choose = draw_shots(labels, 2, rng)
    probe = fit_probe(features[fit], labels[fit], features[choose], labels[choose])
    assert probe.accuracy(features, labels) > 0.99


def test_ties_go_to_the_largest_c_of_the_grid_and_then_to_the_smaller(rng) -> None:
    features, labels = clusters(rng, 400, noise=0.01)
    probe = fit_probe(features[:200], labels[:200], features[200:], labels[200:])
    assert probe.accuracy(features[200:], labels[200:]) == 1
    # Every C from 1e-2 up is right; bisection between 1e5 and 1e7 then stays at its left end.
    assert probe.inverse_strength == pytest.approx(1e5)


def test_noise_wants_a_stronger_penalty_than_the_weakest(rng) -> None:
    features, labels = clusters(rng, 600, noise=1.5)
    probe = fit_probe(features[:40], labels[:40], features[40:300], labels[40:300])
    assert 1e-7 < probe.inverse_strength < 1e3
    unpenalised = LogisticRegression(C=1e6, max_iter=1_000).fit(features[:40], labels[:40])
    chosen = probe.accuracy(features[40:300], labels[40:300])
    assert chosen >= unpenalised.score(features[40:300], labels[40:300])


def test_no_rotation_tells_from_another_by_squares_and_one_does_by_sizes(rng) -> None:
    """The label is one of 12 independent features, which a rotation spreads over all."""
    features = rng.choice([-1.0, 1.0], (2_000, 12)) + 0.2 * rng.standard_normal((2_000, 12))
    labels = (features[:, 3] > 0).astype(np.int64)
    rotated = features @ np.linalg.qr(rng.standard_normal((12, 12)))[0]
    draws = [draw_shots(labels, 4, rng) for _ in range(10)]

    def accuracy(rows: np.ndarray, penalty: Penalty) -> float:
        probes = [fit_probe(rows[a], labels[a], rows[b], labels[b], penalty) for a, b in draws]
        return float(np.mean([probe.accuracy(rows, labels) for probe in probes]))

    assert accuracy(features, "l2") == pytest.approx(accuracy(rotated, "l2"), abs=0.005)
    assert accuracy(features, "l1") > accuracy(rotated, "l1") + 0.05
    assert accuracy(features, "l1") > accuracy(features, "l2") + 0.05


def test_a_domain_that_lacks_classes_answers_with_the_others(rng) -> None:
    features, labels = clusters(rng, 1_000, noise=0.8)
    probe = fit_probe(features[:500], labels[:500], features[500:], labels[500:])
    here = labels < 2
    everything = probe.accuracy(features[here], labels[here])
    assert probe.accuracy(features[here], labels[here], classes={0, 1}) > everything


def test_shots_are_disjoint_and_of_every_class(rng) -> None:
    labels = np.repeat(np.arange(3), 30)
    fit, choose = draw_shots(labels, 8, rng)
    assert not set(fit) & set(choose)
    assert (np.bincount(labels[fit]) == 8).all()
    assert (np.bincount(labels[choose]) == 4).all()


def test_what_cannot_be_probed_is_refused(rng) -> None:
    with pytest.raises(DataError, match="class 0 has 3 rows, and 2 shots take 4; lower shots"):
        draw_shots(np.zeros(3, dtype=np.int64), 2, rng)
    one = np.zeros(4, dtype=np.int64)
    with pytest.raises(DataError, match="at least two classes"):
        fit_probe(np.zeros((4, 2)), one, np.zeros((4, 2)), one)
    features, labels = clusters(rng, 100, noise=0.1)
    with pytest.raises(DataError, match="penalty l1 tells two classes apart, not 4; take l2"):
        fit_probe(features, labels, features, labels, "l1")
