"""The world ``faces``: seeded, visible, independent in the drawing, and true to its model."""

import numpy as np
import pytest

from gdrl.data import faces
from gdrl.errors import DataError

MODEL = faces.MODEL
PAIRS = ~np.eye(len(faces.ATTRIBUTES), dtype=np.bool_)
BACKGROUND_SIZED = {"dark background", "long hair", "dark skin", "blond hair"}


def index(name: str) -> int:
    return faces.ATTRIBUTES.index(name)


@pytest.mark.parametrize("style", faces.STYLES)
def test_same_seed_same_bytes_other_seed_other_face(style: str) -> None:
    factors = faces.sample_factors(1, seed=0)[0]
    image = faces.render(factors, 7, style)
    assert image.shape == (64, 64, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image, faces.render(factors, 7, style))
    assert not np.array_equal(image, faces.render(factors, 8, style))


def test_rows_drawn_apart_are_those_drawn_together() -> None:
    factors = faces.sample_factors(70, seed=1)
    together = np.stack(list(faces.render_rows(factors, seed=5)))
    apart = np.stack(list(faces.render_rows(factors[40:], seed=5, first=40)))
    assert np.array_equal(together[40:], apart)
    assert np.array_equal(together[3], faces.render(factors[3], (5, 3)))


@pytest.mark.parametrize("style", faces.STYLES)
@pytest.mark.parametrize("attribute", faces.ATTRIBUTES)
def test_an_attribute_shows_and_leaves_the_rest_alone(attribute: str, style: str) -> None:
    for row, factors in enumerate(faces.sample_factors(8, seed=2)):
        off, on = faces.render_pair(factors, attribute, (2, row), style)
        change = np.abs(off.astype(int) - on.astype(int)).max(axis=2)
        assert (change > 40).sum() >= 8, "at least eight pixels change clearly"
        if attribute not in BACKGROUND_SIZED:
            assert (change > 8).mean() < 0.16


@pytest.mark.parametrize("style", faces.STYLES)
def test_small_parts_change_only_their_own_place(style: str) -> None:
    factors = np.zeros(len(faces.ATTRIBUTES), dtype=np.int8)
    for attribute, rows in {"hat": (0, 20), "bow tie": (46, 64), "closed eyes": (20, 44)}.items():
        off, on = faces.render_pair(factors, attribute, 0, style)
        changed = np.flatnonzero((off != on).any(axis=(1, 2)))
        assert rows[0] <= changed.min()
        assert changed.max() < rows[1]


def test_population_association_is_that_of_a_large_sample() -> None:
    on = faces.sample_factors(20_000, seed=9).astype(np.float64)
    given = on.T @ on / on.sum(axis=0)[:, None]
    given_not = (1 - on).T @ on / (1 - on).sum(axis=0)[:, None]
    difference = (given - given_not - faces.population_association(MODEL))[PAIRS]
    assert np.abs(difference).max() < 0.04


def test_edges_stand_clear_of_non_edges() -> None:
    weight = np.abs(faces.population_association(MODEL)[PAIRS])
    assert 12 <= (weight >= 0.2).sum() <= 20
    assert not ((weight > 0.12) & (weight < 0.25)).any()
    rates = faces.prevalence(MODEL)
    assert rates.min() >= 0.15
    assert rates.max() <= 0.6


def test_pairs_of_both_signs_and_asymmetric_pairs() -> None:
    adjacency = faces.population_association(MODEL)
    upper = np.triu_indices(len(adjacency), k=1)
    asymmetry = np.abs(np.abs(adjacency) - np.abs(adjacency.T))[upper]
    assert (asymmetry >= 0.1).sum() >= 5
    assert (adjacency[upper] > 0.2).sum() >= 3
    assert (adjacency[upper] < -0.2).sum() >= 3


def test_causing_is_not_observing() -> None:
    adjacency, effect = faces.population_association(MODEL), faces.interventional(MODEL)
    cause, left, right = index("long hair"), index("earrings"), index("beard")
    assert adjacency[left, right] < -0.2
    assert effect[left, right] == 0
    assert effect[cause, left] == pytest.approx(adjacency[cause, left])
    night, asleep, smiling = index("dark background"), index("closed eyes"), index("smiling")
    assert effect[night, smiling] == pytest.approx(effect[night, asleep] * effect[asleep, smiling])
    assert adjacency[smiling, asleep] < -0.2
    assert effect[smiling, asleep] == 0


def test_reversed_model_turns_every_effect_round() -> None:
    effect = faces.interventional(MODEL)
    turned = faces.interventional(faces.reversed_model())
    for child, mechanism in enumerate(MODEL.mechanisms):
        for parent in mechanism.parents:
            assert turned[index(parent), child] == pytest.approx(-effect[index(parent), child])


def test_every_style_is_credited() -> None:
    for style in faces.STYLES:
        assert "CC BY 4.0" in faces.attribution(style)
        assert "DiceBear" in faces.attribution(style)


def test_unknown_names_are_refused() -> None:
    factors = faces.sample_factors(1, seed=0)[0]
    with pytest.raises(DataError, match="no face style 'oil'"):
        faces.render(factors, 0, "oil")
    with pytest.raises(DataError, match="no attribute 'moustache'"):
        faces.render_pair(factors, "moustache", 0)
    with pytest.raises(DataError, match="12 attributes, not 3"):
        faces.render(factors[:3], 0)
