"""The world ``dsprites_like``: dSprites' factors, drawn from formulas.

::

    GRID                        3 shapes x 6 scales x 40 orientations x 32 x 32 = 737,280
    VALUES[name]                what each position of a factor means
    masks(factors)              bool  (rows, 64, 64)
    render(factors)             uint8 (rows, 64, 64, 3), 0 or 255

The grid is that of Matthey et al. (2017, github.com/google-deepmind/dsprites-dataset): the same
factors, sizes, values and order. The pixels are ours: a pixel is white where its centre lies inside
the shape. Semantics exact, pixels not. Nothing is random, so the same factors give the same bytes.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from gdrl.data.factor_grid import FactorGrid

GRID = FactorGrid(("shape", "scale", "orientation", "position x", "position y"), (3, 6, 40, 32, 32))
SHAPES = ("square", "ellipse", "heart")
VALUES: Mapping[str, tuple[str, ...] | tuple[float, ...]] = {
    "shape": SHAPES,
    "scale": tuple(np.linspace(0.5, 1, 6).tolist()),
    "orientation": tuple(np.linspace(0, 2 * np.pi, 40).tolist()),
    "position x": tuple(np.linspace(0, 1, 32).tolist()),
    "position y": tuple(np.linspace(0, 1, 32).tolist()),
}
"""Scale is relative, orientation in radians (both ends, as in dSprites: the first and the last look
the same), position the share of the way right and down."""
PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "single_1": (("shape", "scale"),),
    "single_2": (("position x", "position y"),),
    "single_3": (("shape", "position y"),),
    "double_1": (("shape", "position x"), ("scale", "position y")),
    "double_2": (("shape", "scale"), ("position x", "position y")),
    "conf_1": (("shape", "all"),),
    "conf_2": (("position x", "all"),),
}
"""The correlated settings of Roth et al. (2023) under their names; ``conf`` is one-with-all."""
ATTRIBUTION = (
    "dsprites_like: own drawing after the factors of dSprites (Matthey, Higgins, Hassabis, "
    "Lerchner 2017, Apache-2.0); no file of that data set is used"
)

SIZE = 64
_SQUARE_SIDE = 20.0
_ELLIPSE = (13.0, 7.5)  # semi-axes
_HEART = 8.0
# Half of a window around the centre that holds every shape: the square's half diagonal is 14.2 and
# the window starts at a whole pixel. A fifth of the canvas, hence a fifth of the arithmetic.
_REACH = 16


def render(factors: Integer[np.ndarray, "rows 5"]) -> UInt8[np.ndarray, "rows 64 64 3"]:
    """White shapes on black.

    Raises:
        DataError: a row is no combination of ``GRID``.
    """
    grey = masks(factors).view(np.uint8) * np.uint8(255)
    return np.repeat(grey[..., None], 3, axis=3)


def masks(factors: Integer[np.ndarray, "rows 5"]) -> Bool[np.ndarray, "rows 64 64"]:
    """Which pixels lie inside the shape.

    Raises:
        DataError: a row is no combination of ``GRID``.
    """
    GRID.check(factors)
    scale, angle, right, down = (
        np.asarray(VALUES[name], dtype=np.float64)[factors[:, column]]
        for column, name in enumerate(GRID.names)
        if name != "shape"
    )
    centre = 16 + 32 * np.stack([right, down])  # pixels
    first = np.floor(centre).astype(np.int64) - _REACH
    window = first[:, :, None] + np.arange(2 * _REACH)
    away = window + 0.5 - centre[:, :, None]
    dx, dy = away[0][:, None, :], away[1][:, :, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    # The shape's own axes, in units of its scale; a growing angle turns it anticlockwise.
    x, y = ((v / scale[:, None, None]) for v in (cos * dx - sin * dy, sin * dx + cos * dy))
    inside = np.empty(x.shape, dtype=np.bool_)
    for shape, name in enumerate(SHAPES):
        rows = factors[:, 0] == shape
        inside[rows] = _inside(name, x[rows], y[rows])
    canvas = np.zeros((len(factors), SIZE, SIZE), dtype=np.bool_)
    rows = np.arange(len(factors))[:, None, None]
    canvas[rows, window[1][:, :, None], window[0][:, None, :]] = inside
    return canvas


def _inside(
    shape: str, x: Float[np.ndarray, "rows h w"], y: Float[np.ndarray, "rows h w"]
) -> Bool[np.ndarray, "rows h w"]:
    if shape == "square":
        return np.asarray(np.maximum(np.abs(x), np.abs(y)) <= _SQUARE_SIDE / 2)
    if shape == "ellipse":
        return np.asarray((x / _ELLIPSE[0]) ** 2 + (y / _ELLIPSE[1]) ** 2 <= 1)
    x, y = x / _HEART, -y / _HEART  # up is positive in the heart's sextic
    return np.asarray((x**2 + y**2 - 1) ** 3 <= x**2 * y**3)
