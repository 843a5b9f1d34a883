"""Where the rays of a picture of ``shapes3d_like`` end: floor, wall or one of four objects.

A box-shaped room, z up, the floor at z = 0, the object standing on it at the origin. Each function
takes the rays' origin and unit directions and gives the distance to the surface it meets from
outside (infinity where it misses) with the outward normals.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

Rays = Float[np.ndarray, "rays 3"]
Distances = Float[np.ndarray, " rays"]
Hit = tuple[Distances, Rays]
"""Distances, and outward normals (meaningless where the distance is infinite)."""

ROOM = np.array([3.2, 4.2, 6.0])
"""Half width, half depth, and height: the ceiling lies above every picture."""


def hit_room(origin: Float[np.ndarray, " 3"], direction: Rays) -> Hit:
    """From inside the room every ray ends: at the floor or at a wall; normals point inwards."""
    low, high = np.array([-ROOM[0], -ROOM[1], 0.0]), ROOM
    with np.errstate(divide="ignore"):
        to_side = (np.where(direction > 0, high, low) - origin) / direction
    to_side = np.where(direction == 0, np.inf, to_side)
    axis = to_side.argmin(axis=1)
    normal = -np.sign(direction) * (np.arange(3) == axis[:, None])
    return to_side.min(axis=1), normal


def hit_cube(origin: Float[np.ndarray, " 3"], direction: Rays, scale: float) -> Hit:
    """A cube of side ``scale``, by slabs (Kay and Kajiya 1986)."""
    low = np.array([-0.5, -0.5, 0.0]) * scale
    with np.errstate(divide="ignore"):
        inverse = 1 / direction
    one, other = (low - origin) * inverse, (low + scale - origin) * inverse
    enter, leave = np.minimum(one, other), np.maximum(one, other).min(axis=1)
    axis, distance = enter.argmax(axis=1), enter.max(axis=1)
    normal = -np.sign(direction) * (np.arange(3) == axis[:, None])
    return np.where((distance < leave) & (distance > 0), distance, np.inf), normal


def hit_sphere(origin: Float[np.ndarray, " 3"], direction: Rays, scale: float) -> Hit:
    """A sphere of diameter 1.2 ``scale``."""
    radius = 0.6 * scale
    return _ball(origin, direction, np.array([0.0, 0.0, radius]), radius)


def hit_cylinder(origin: Float[np.ndarray, " 3"], direction: Rays, scale: float) -> Hit:
    """An upright cylinder, 1.0 ``scale`` wide and 1.1 high; its top is seen, its bottom never."""
    radius, height = 0.5 * scale, 1.1 * scale
    distance, normal = _mantle(origin, direction, radius, 0.0, height)
    with np.errstate(divide="ignore", invalid="ignore"):
        top = (height - origin[2]) / direction[:, 2]
        at = origin[:2] + top[:, None] * direction[:, :2]
    on_top = (top > 0) & (top < distance) & ((at**2).sum(axis=1) <= radius**2)
    normal[on_top] = (0.0, 0.0, 1.0)
    return np.where(on_top, top, distance), normal


def hit_capsule(origin: Float[np.ndarray, " 3"], direction: Rays, scale: float) -> Hit:
    """An upright capsule, 0.8 ``scale`` wide and 1.5 high."""
    radius, height = 0.4 * scale, 1.5 * scale
    distance, normal = _mantle(origin, direction, radius, radius, height - radius)
    for z in (radius, height - radius):
        ball, outward = _ball(origin, direction, np.array([0.0, 0.0, z]), radius)
        nearer = ball < distance
        normal[nearer] = outward[nearer]
        distance = np.minimum(distance, ball)
    return distance, normal


OBJECTS: Mapping[str, Callable[[Float[np.ndarray, " 3"], Rays, float], Hit]] = {
    "cube": hit_cube,
    "cylinder": hit_cylinder,
    "sphere": hit_sphere,
    "capsule": hit_capsule,
}
FOOTPRINT: Mapping[str, float] = {"cube": 0.56, "cylinder": 0.5, "sphere": 0.38, "capsule": 0.3}
"""Radius, at scale 1, of the patch of floor that the object darkens by standing on it."""


def _ball(
    origin: Float[np.ndarray, " 3"],
    direction: Rays,
    centre: Float[np.ndarray, " 3"],
    radius: float,
) -> Hit:
    away = origin - centre
    half = direction @ away
    distance = _nearer_root(
        np.ones(len(direction)), half, np.full(len(half), away @ away - radius**2)
    )
    return distance, _points(origin, direction, distance) / radius - centre / radius


def _mantle(
    origin: Float[np.ndarray, " 3"], direction: Rays, radius: float, low: float, high: float
) -> Hit:
    """The side of an upright cylinder between two heights."""
    flat = direction[:, :2]
    square = np.maximum((flat**2).sum(axis=1), 1e-12)  # a ray straight down misses it anyway
    rest = np.full(len(flat), origin[:2] @ origin[:2] - radius**2)
    distance = _nearer_root(square, flat @ origin[:2], rest)
    points = _points(origin, direction, distance)
    on_side = (points[:, 2] >= low) & (points[:, 2] <= high)
    return np.where(on_side, distance, np.inf), points * np.array([1 / radius, 1 / radius, 0.0])


def _nearer_root(a: Distances, half: Distances, c: Distances) -> Distances:
    """The smaller positive root of ``a t² + 2 half t + c``, infinity where there is none."""
    discriminant = half**2 - a * c
    root = (-half - np.sqrt(np.maximum(discriminant, 0))) / a
    return np.where((discriminant > 0) & (root > 0), root, np.inf)


def _points(origin: Float[np.ndarray, " 3"], direction: Rays, distance: Distances) -> Rays:
    """The points hit; the origin where nothing is."""
    reach = np.where(np.isfinite(distance), distance, 0)
    return np.asarray(origin + reach[:, None] * direction)
