"""The world ``dsprites_like``: the grid is dSprites', each factor does what its name says."""

import numpy as np
import pytest
from jaxtyping import Float

from gdrl.data.dsprites_like import GRID, SHAPES, VALUES, masks, render
from gdrl.data.grid_world import GRID_WORLDS, draw_grid
from gdrl.errors import DataError

MIDDLE = [0, 5, 0, 16, 16]


def varied(name: str, base: list[int] = MIDDLE) -> np.ndarray:
    """All values of one factor, the others as in ``base``."""
    column = GRID.position(name)
    rows = np.tile(base, (GRID.sizes[column], 1))
    rows[:, column] = np.arange(len(rows))
    return rows


def centres(inside: np.ndarray) -> Float[np.ndarray, "rows 2"]:
    pixel = np.arange(64) + 0.5
    area = inside.sum(axis=(1, 2))
    return np.stack([inside.sum(axis=1) @ pixel / area, inside.sum(axis=2) @ pixel / area], axis=1)


def test_the_grid_is_that_of_dsprites() -> None:
    assert GRID.sizes == (3, 6, 40, 32, 32)
    assert len(GRID) == 737_280
    assert [len(VALUES[name]) for name in GRID.names] == list(GRID.sizes)


def test_images_are_white_on_black_and_seeded_by_their_factors_alone() -> None:
    factors = GRID.factors(np.arange(0, len(GRID), 7_919))
    images = render(factors)
    assert images.shape == (len(factors), 64, 64, 3)
    assert set(np.unique(images)) == {0, 255}
    assert np.array_equal(images[5:6], render(factors[5:6]))


def test_the_drawing_has_not_changed() -> None:
    inside = masks(GRID.factors(np.arange(0, len(GRID), 3_001)))
    # A digest would hang on the last bit of another machine's sine.
    assert inside.sum() == pytest.approx(45_373, abs=10)


@pytest.mark.parametrize("shape", range(3))
def test_position_moves_the_shape_right_and_down_by_one_pixel_a_step(shape: int) -> None:
    for axis, name in enumerate(("position x", "position y")):
        moved = centres(masks(varied(name, [shape, 3, 4, 16, 16])))
        assert np.diff(moved[:, axis]) == pytest.approx(32 / 31, abs=0.5)
        assert moved[-1, axis] - moved[0, axis] == pytest.approx(32, abs=0.6)
        assert np.ptp(moved[:, 1 - axis]) < 0.5


@pytest.mark.parametrize("shape", range(3))
def test_scale_is_a_length(shape: int) -> None:
    area = masks(varied("scale", [shape, 0, 0, 16, 16])).sum(axis=(1, 2))
    assert np.sqrt(area / area[-1]) == pytest.approx(VALUES["scale"], abs=0.03)


def test_areas_are_those_of_the_formulas() -> None:
    square, ellipse, _ = masks(varied("shape")).sum(axis=(1, 2))
    assert square == 400
    assert ellipse == pytest.approx(np.pi * 13 * 7.5, rel=0.02)
    assert len(SHAPES) == 3


def test_orientation_runs_a_full_turn_anticlockwise_with_both_ends() -> None:
    turned = masks(varied("orientation", [2, 5, 0, 16, 16]))
    assert np.array_equal(turned[0], turned[-1])
    assert not any(np.array_equal(turned[0], other) for other in turned[1:-1])
    upright, quarter = (mask.sum(axis=axis) for mask, axis in ((turned[0], 1), (turned[10], 0)))
    for profile in (upright, quarter):  # the heart's tip points down, then to the right
        from_lobes_to_tip = profile[profile > 0]
        assert from_lobes_to_tip[-2:].sum() < from_lobes_to_tip[:2].sum()


def test_no_shape_leaves_the_canvas() -> None:
    for shape in range(3):
        for x in (0, 31):
            for y in (0, 31):
                inside = masks(varied("orientation", [shape, 5, 0, x, y]))
                area = inside.sum(axis=(1, 2))
                middle = masks(varied("orientation", [shape, 5, 0, 16, 16])).sum(axis=(1, 2))
                assert np.abs(area - middle).max() <= 12


def test_the_grid_is_drawn_lazily_and_in_order() -> None:
    world = GRID_WORLDS["dsprites_like"]
    images = draw_grid(world, 400_000)
    first = next(images)
    assert np.array_equal(first, render(GRID.factors(np.array([400_000])))[0])
    assert len(list(draw_grid(world, 737_000))) == 280


def test_foreign_factors_are_refused() -> None:
    with pytest.raises(DataError, match="'shape' takes 0 to 2"):
        render(np.array([[3, 0, 0, 0, 0]]))
