"""The world ``shapes3d_like``: 3D Shapes' factors, ray-cast in a small room.

::

    GRID                        10 x 10 x 10 hues, 8 scales, 4 shapes, 15 orientations = 480,000
    VALUES[name]                what each position of a factor means
    render(factors)             uint8 (rows, 64, 64, 3)

The grid is that of Burgess and Kim (2018, github.com/google-deepmind/3d-shapes): the same factors,
sizes, values and order. The pixels are ours: room, camera, light and object sizes were chosen by
eye. Semantics exact, pixels not. Nothing is random, so the same factors give the same bytes.

Light is white and bounces once, so a picture is linear in its three colours. Rays are cast once for
each of the 8 x 4 x 15 = 480 geometries (35 ms each); their shading maps are kept (16 KB x 4, 31 MB
for all) and the 1,000 colourings of each are sums.
"""

import colorsys
from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float32, Integer, UInt8

from gdrl.data.factor_grid import FactorGrid
from gdrl.data.shapes3d_rays import FOOTPRINT, OBJECTS, hit_room

GRID = FactorGrid(
    ("floor hue", "wall hue", "object hue", "scale", "shape", "orientation"), (10, 10, 10, 8, 4, 15)
)
SHAPES = ("cube", "cylinder", "sphere", "capsule")
HUES = tuple(step / 10 for step in range(10))
VALUES: Mapping[str, tuple[str, ...] | tuple[float, ...]] = {
    "floor hue": HUES,
    "wall hue": HUES,
    "object hue": HUES,
    "scale": tuple(np.linspace(0.75, 1.25, 8).tolist()),
    "shape": SHAPES,
    "orientation": tuple(np.linspace(-30, 30, 15).tolist()),
}
"""Hue as in HSV, scale relative, orientation in degrees that the camera goes round the room."""
PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "single_1": (("floor hue", "wall hue"),),
    "single_2": (("shape", "scale"),),
    "single_3": (("shape", "wall hue"),),
    "double_1": (("scale", "floor hue"), ("shape", "wall hue")),
    "double_2": (("scale", "shape"), ("floor hue", "wall hue")),
    "triple_1": (("scale", "orientation"), ("shape", "wall hue"), ("object hue", "floor hue")),
    "triple_2": (("object hue", "orientation"), ("shape", "scale"), ("floor hue", "wall hue")),
    "conf_1": (("shape", "all"),),
    "conf_2": (("wall hue", "all"),),
}
"""The correlated settings of Roth et al. (2023) under their names; ``conf`` is one-with-all."""
ATTRIBUTION = (
    "shapes3d_like: own drawing after the factors of 3D Shapes (Burgess and Kim 2018, Apache-2.0); "
    "no file of that data set is used"
)

SIZE = 64
_SAMPLES = 3  # rays a pixel, each way
_CAMERA_DISTANCE, _CAMERA_HEIGHT = 3.9, 1.9
_LOOK_AT = 0.62
_FIELD_OF_VIEW = np.deg2rad(43)
_LIGHT = np.array([-0.45, -0.65, 0.75]) / np.linalg.norm([-0.45, -0.65, 0.75])
_AMBIENT, _DIFFUSE, _SPECULAR = 0.5, 0.5, 0.35
_SHADOW = 0.55
_SATURATION, _BRIGHTNESS = 0.85, 1.0
_SURFACES = 3  # floor, wall, object: the order of the hues among the factors
_WHITE = _SURFACES  # what the object's highlight adds, whatever its hue


def render(factors: Integer[np.ndarray, "rows 6"]) -> UInt8[np.ndarray, "rows 64 64 3"]:
    """A coloured object on a coloured floor between coloured walls.

    Raises:
        DataError: a row is no combination of ``GRID``.
    """
    GRID.check(factors)
    colours = _PALETTE[factors[:, :_SURFACES]]
    images = np.empty((len(factors), SIZE, SIZE, 3), dtype=np.uint8)
    for row, (scale, shape, orientation) in enumerate(factors[:, _SURFACES:].tolist()):
        shading = shading_maps(scale, shape, orientation)
        light = shading[:, :_SURFACES] @ colours[row] + shading[:, _WHITE:]
        images[row] = (np.minimum(light, 1) * 255 + 0.5).astype(np.uint8).reshape(SIZE, SIZE, 3)
    return images


@lru_cache(maxsize=8 * 4 * 15)
def shading_maps(scale: int, shape: int, orientation: int) -> Float32[np.ndarray, "4096 4"]:
    """How much of floor, wall and object colour, and of white, each pixel shows.

    Arguments are positions in the grid. The first three columns hold coverage times light.
    """
    name, size = SHAPES[shape], float(VALUES["scale"][scale])
    origin, direction = _rays(float(np.deg2rad(float(VALUES["orientation"][orientation]))))
    to_room, inwards = hit_room(origin, direction)
    to_object, outwards = OBJECTS[name](origin, direction, size)
    on_object = to_object < to_room
    normal = np.where(on_object[:, None], outwards, inwards)
    on_floor = ~on_object & (normal[:, 2] > 0.5)
    light = _AMBIENT + _DIFFUSE * np.maximum(normal @ _LIGHT, 0)
    ground = origin + to_room[:, None] * direction
    light = np.where(on_floor, light * _contact_shadow(ground, FOOTPRINT[name] * size), light)
    half = _LIGHT - direction
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    gloss = _SPECULAR * np.maximum((normal * half).sum(axis=1), 0) ** 24
    layers = [on_floor * light, ~on_object & ~on_floor, on_object * light, on_object * gloss]
    layers[1] = layers[1] * light
    shape_of_samples = (SIZE, _SAMPLES, SIZE, _SAMPLES, len(layers))
    samples = np.stack(layers, axis=1).reshape(shape_of_samples)
    maps: Float32[np.ndarray, "4096 4"] = (
        samples.mean(axis=(1, 3)).reshape(SIZE * SIZE, len(layers)).astype(np.float32)
    )
    maps.flags.writeable = False
    return maps


def _rays(
    azimuth: float,
) -> tuple[Float[np.ndarray, " 3"], Float[np.ndarray, "rays 3"]]:
    """The camera's place and the unit directions of all samples, rows from the top."""
    origin = np.array(
        [_CAMERA_DISTANCE * np.sin(azimuth), -_CAMERA_DISTANCE * np.cos(azimuth), _CAMERA_HEIGHT]
    )
    forward = np.array([0, 0, _LOOK_AT]) - origin
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    up = np.cross(right, forward)
    num = SIZE * _SAMPLES
    steps = ((np.arange(num) + 0.5) / num * 2 - 1) * np.tan(_FIELD_OF_VIEW / 2)
    direction = forward - steps[:, None, None] * up + steps[None, :, None] * right
    direction = direction.reshape(-1, 3)
    return origin, direction / np.linalg.norm(direction, axis=1, keepdims=True)


def _contact_shadow(
    ground: Float[np.ndarray, "rays 3"], radius: float
) -> Float[np.ndarray, " rays"]:
    """Floor light near the object: least below it, full one radius away from its edge."""
    distance = np.hypot(ground[:, 0], ground[:, 1])
    depth = np.clip(2 - distance / radius, 0, 1)
    return np.asarray(1 - _SHADOW * depth**2 * (3 - 2 * depth))


_PALETTE: Float32[np.ndarray, "10 3"] = np.array(
    [colorsys.hsv_to_rgb(hue, _SATURATION, _BRIGHTNESS) for hue in HUES], dtype=np.float32
)
