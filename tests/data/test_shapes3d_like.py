"""The world ``shapes3d_like``: the grid is 3D Shapes', each factor changes its own part."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gdrl.data.shapes3d_like import GRID, SHAPES, VALUES, render, shading_maps
from gdrl.data.shapes3d_rays import OBJECTS, hit_room
from gdrl.errors import DataError

MIDDLE = [0, 3, 6, 4, 1, 7]


def varied(name: str, base: list[int] = MIDDLE) -> np.ndarray:
    """All values of one factor, the others as in ``base``."""
    column = GRID.position(name)
    rows = np.tile(base, (GRID.sizes[column], 1))
    rows[:, column] = np.arange(len(rows))
    return rows


def object_area(scale: int, shape: int, orientation: int = 7) -> float:
    """Pixels that show the object and nothing else."""
    maps = shading_maps(scale, shape)[orientation]
    return float(((maps[:, 2] > 0) & (maps[:, :2].sum(dim=1) == 0)).sum())


def test_the_grid_is_that_of_3d_shapes() -> None:
    assert GRID.sizes == (10, 10, 10, 8, 4, 15)
    assert len(GRID) == 480_000
    assert [len(VALUES[name]) for name in GRID.names] == list(GRID.sizes)


def test_images_depend_on_their_factors_alone() -> None:
    factors = GRID.factors(np.array([0, 123_456, 479_999]))
    images = render(factors)
    assert images.shape == (3, 64, 64, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images[1:2], render(factors[1:2]))


def test_the_drawing_has_not_changed() -> None:
    images = render(GRID.factors(np.arange(0, len(GRID), 40_009)))
    # A digest would hang on the last bit of another machine's sine.
    assert images.mean(axis=(0, 1, 2)) == pytest.approx([111.61, 115.69, 114.91], abs=0.05)


@pytest.mark.parametrize(("name", "layer"), [("floor hue", 0), ("wall hue", 1), ("object hue", 2)])
def test_a_hue_colours_its_surface_and_nothing_else(name: str, layer: int) -> None:
    images = render(varied(name)).reshape(10, 64 * 64, 3).astype(int)
    shown = shading_maps(*MIDDLE[3:5])[MIDDLE[5], :, layer].numpy() > 0
    change = np.abs(images[1:] - images[:-1]).max(axis=2)
    assert not change[:, ~shown].any()
    assert (change[:, shown].max(axis=0) > 40).mean() > 0.9
    assert len(np.unique(images.reshape(10, -1), axis=0)) == 10


def test_every_pixel_is_covered_and_lit() -> None:
    for shape in range(4):
        assert (shading_maps(7, shape)[..., :3].sum(dim=2) > 0.2).all()


@pytest.mark.parametrize("shape", range(4))
def test_scale_grows_the_object(shape: int) -> None:
    areas = [object_area(scale, shape) for scale in range(8)]
    assert np.all(np.diff(areas) > 0)
    assert areas[-1] / areas[0] > 2


def test_shapes_differ_clearly() -> None:
    images = render(varied("shape")).astype(int)
    for one in range(4):
        for other in range(one):
            assert (np.abs(images[one] - images[other]).max(axis=2) > 60).sum() > 40


@pytest.mark.parametrize("shape", range(4))
def test_every_step_of_orientation_shows_even_for_round_objects(shape: int) -> None:
    images = render(varied("orientation", [0, 3, 6, 4, shape, 0])).astype(int)
    change = np.abs(images[1:] - images[:-1]).max(axis=3)
    assert ((change > 8).sum(axis=(1, 2)) > 30).all()


def vector(x: float, y: float, z: float) -> Tensor:
    """One picture's one ray, or its origin."""
    return torch.tensor([x, y, z], dtype=torch.float32).reshape(3, 1, 1)


@pytest.mark.parametrize("name", SHAPES)
def test_a_ray_from_above_meets_the_top_and_a_ray_aside_meets_nothing(name: str) -> None:
    top = {"cube": 1.0, "cylinder": 1.1, "sphere": 1.2, "capsule": 1.5}[name]
    down = vector(0, 0, -1)
    distance, normal = OBJECTS[name](vector(0.1, 0.05, 5), down, 1.0)
    assert distance.item() == pytest.approx(5 - top, abs=0.02)
    assert normal.flatten().tolist() == pytest.approx([0, 0, 1], abs=0.3)
    assert normal.norm().item() == pytest.approx(1)
    assert OBJECTS[name](vector(2, 0, 5), down, 1.0)[0].item() == np.inf


@pytest.mark.parametrize("name", SHAPES)
def test_a_ray_from_the_side_meets_the_side(name: str) -> None:
    width = {"cube": 1.0, "cylinder": 1.0, "sphere": 1.2, "capsule": 0.8}[name]
    distance, normal = OBJECTS[name](vector(0, -3, 0.6), vector(0, 1, 0), 1.0)
    assert distance.item() == pytest.approx(3 - width / 2)
    assert normal.flatten().tolist() == pytest.approx([0, -1, 0], abs=1e-6)


def test_walls_and_floor_face_inwards() -> None:
    directions = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]]).T[:, None]
    distance, normal = hit_room(vector(0, 0, 1), directions)
    assert distance[0].tolist() == pytest.approx([4.2, 3.2, 1.0])
    assert normal[:, 0].T.tolist() == [[0, -1, 0], [1, 0, 0], [0, 0, 1]]


def test_an_image_does_not_depend_on_those_drawn_with_it() -> None:
    factors = GRID.factors(np.arange(0, len(GRID), 9_001))
    together = render(factors)
    for row in range(len(factors)):
        assert np.array_equal(together[row], render(factors[row : row + 1])[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_up_to_rounding() -> None:
    factors = GRID.factors(np.arange(0, len(GRID), 9_001))
    change = np.abs(render(factors).astype(int) - render(factors, "cuda").astype(int))
    assert (change > 1).mean() < 1e-3


def test_foreign_factors_are_refused() -> None:
    with pytest.raises(DataError, match="'orientation' takes 0 to 14"):
        render(np.array([[0, 0, 0, 0, 0, 15]]))
