"""The world ``shapes3d_like``: 3D Shapes' factors, ray-cast in a small room.

::

    GRID                        10 x 10 x 10 hues, 8 scales, 4 shapes, 15 orientations = 480,000
    VALUES[name]                what each position of a factor means
    render(factors)             uint8 (rows, 64, 64, 3)

The grid is that of Burgess and Kim (2018, github.com/google-deepmind/3d-shapes): the same factors,
sizes, values and order. The pixels are ours: room, camera, light and object sizes were chosen by
eye. Semantics exact, pixels not. Nothing is random, so the same factors give the same bytes.

Rays are cast for the 15 orientations of a shape and scale together, in torch; the shading maps
are kept (31 MB for all 480 geometries) and the 1,000 colourings of each are sums.
"""

import colorsys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Integer, UInt8

from gdrl.data.factor_grid import FactorGrid

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

_SATURATION, _BRIGHTNESS = 0.85, 1.0
_PALETTE: Float32[np.ndarray, "10 3"] = np.array(
    [colorsys.hsv_to_rgb(hue, _SATURATION, _BRIGHTNESS) for hue in HUES], dtype=np.float32
)


def render(
    factors: Integer[np.ndarray, "rows 6"], device: str = "cpu"
) -> UInt8[np.ndarray, "rows 64 64 3"]:
    """A coloured object on a coloured floor between coloured walls.

    ``device`` is torch's: the caster runs there.

    Raises:
        DataError: a row is no combination of ``GRID``.
    """
    import torch  # 2 s, and no other world needs it

    from gdrl.data.shapes3d_shading import SIZE, colour

    GRID.check(factors)
    colours = torch.from_numpy(_PALETTE[factors[:, :3]]).to(device)
    images = np.empty((len(factors), SIZE, SIZE, 3), dtype=np.uint8)
    for scale, shape in np.unique(factors[:, 3:5], axis=0).tolist():
        rows = np.flatnonzero((factors[:, 3:5] == (scale, shape)).all(axis=1))
        orientations = torch.from_numpy(factors[rows, 5]).to(device)
        shading = shading_maps(scale, shape, device)[orientations]
        images[rows] = colour(shading, colours[torch.from_numpy(rows).to(device)]).cpu().numpy()
    return images


def shading_maps(scale: int, shape: int, device: str = "cpu") -> Any:
    """A float32 tensor (15, 4096, 4): every orientation's shares of floor, wall, object and white.

    The arguments are positions in the grid.
    """
    from gdrl.data import shapes3d_shading

    azimuths = tuple(float(degrees) for degrees in VALUES["orientation"])
    size = float(VALUES["scale"][scale])
    return shapes3d_shading.shading_maps(SHAPES[shape], size, azimuths, device)
