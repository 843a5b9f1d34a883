"""Where the rays of pictures of ``shapes3d_like`` end: floor, wall or one of four objects.

A box-shaped room, z up, the floor at z = 0, the object standing on it at the origin. Each function
takes the rays' origins and unit directions and gives the distance to the surface they meet from
outside (infinity where they miss) with the outward normals. Coordinates come first in every tensor:
x, y and z are then contiguous, which is four times as fast on a CPU as the other way round.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

Origins = Float[Tensor, "3 pictures 1"]
Rays = Float[Tensor, "3 pictures rays"]
Distances = Float[Tensor, "pictures rays"]
Hit = tuple[Distances, Rays]
"""Distances, and outward normals (meaningless where the distance is infinite)."""

ROOM = (3.2, 4.2, 6.0)
"""Half width, half depth, and height: the ceiling lies above every picture."""


def hit_room(origin: Origins, direction: Rays) -> Hit:
    """From inside the room every ray ends: at the floor or at a wall; normals point inwards."""
    low, high = _column(origin, -ROOM[0], -ROOM[1], 0.0), _column(origin, *ROOM)
    to_side = (torch.where(direction > 0, high, low) - origin) / direction
    to_side = torch.where(direction == 0, torch.inf, to_side)
    distance, axis = to_side.min(dim=0)
    return distance, _facing(direction, axis)


def hit_cube(origin: Origins, direction: Rays, scale: float) -> Hit:
    """A cube of side ``scale``, by slabs (Kay and Kajiya 1986)."""
    low = _column(origin, -0.5, -0.5, 0.0) * scale
    one, other = (low - origin) / direction, (low + scale - origin) / direction
    distance, axis = torch.minimum(one, other).max(dim=0)
    leave = torch.maximum(one, other).amin(dim=0)
    met = (distance < leave) & (distance > 0)
    return torch.where(met, distance, torch.inf), _facing(direction, axis)


def hit_sphere(origin: Origins, direction: Rays, scale: float) -> Hit:
    """A sphere of diameter 1.2 ``scale``."""
    return _ball(origin, direction, 0.6 * scale, 0.6 * scale)


def hit_cylinder(origin: Origins, direction: Rays, scale: float) -> Hit:
    """An upright cylinder, 1.0 ``scale`` wide and 1.1 high; its top is seen, its bottom never."""
    radius, height = 0.5 * scale, 1.1 * scale
    distance, normal = _mantle(origin, direction, radius, 0.0, height)
    top = (height - origin[2]) / direction[2]
    at = origin[:2] + top * direction[:2]
    on_top = (top > 0) & (top < distance) & ((at**2).sum(dim=0) <= radius**2)
    normal = torch.where(on_top, _column(origin, 0.0, 0.0, 1.0), normal)
    return torch.where(on_top, top, distance), normal


def hit_capsule(origin: Origins, direction: Rays, scale: float) -> Hit:
    """An upright capsule, 0.8 ``scale`` wide and 1.5 high."""
    radius, height = 0.4 * scale, 1.5 * scale
    distance, normal = _mantle(origin, direction, radius, radius, height - radius)
    for z in (radius, height - radius):
        ball, outward = _ball(origin, direction, z, radius)
        normal = torch.where(ball < distance, outward, normal)
        distance = torch.minimum(distance, ball)
    return distance, normal


OBJECTS: Mapping[str, Callable[[Origins, Rays, float], Hit]] = {
    "cube": hit_cube,
    "cylinder": hit_cylinder,
    "sphere": hit_sphere,
    "capsule": hit_capsule,
}
FOOTPRINT: Mapping[str, float] = {"cube": 0.56, "cylinder": 0.5, "sphere": 0.38, "capsule": 0.3}
"""Radius, at scale 1, of the patch of floor that the object darkens by standing on it."""


def points(origin: Origins, direction: Rays, distance: Distances) -> Rays:
    """The points at these distances; the origin where nothing is."""
    return origin + torch.where(distance.isfinite(), distance, 0) * direction


def _ball(origin: Origins, direction: Rays, height: float, radius: float) -> Hit:
    """A ball whose centre lies on the axis of the room, ``height`` above the floor."""
    away = origin - _column(origin, 0.0, 0.0, height)
    half = (direction * away).sum(dim=0)
    rest = (away**2).sum(dim=0) - radius**2
    distance = _nearer_root(torch.ones_like(half), half, rest)
    return distance, points(away, direction, distance) / radius


def _mantle(origin: Origins, direction: Rays, radius: float, low: float, high: float) -> Hit:
    """The side of an upright cylinder between two heights."""
    flat, start = direction[:2], origin[:2]
    square = (flat**2).sum(dim=0).clamp(min=1e-12)  # a ray straight down misses it anyway
    rest = (start**2).sum(dim=0) - radius**2
    distance = _nearer_root(square, (flat * start).sum(dim=0), rest)
    at = points(origin, direction, distance)
    on_side = (at[2] >= low) & (at[2] <= high)
    normal = at * _column(origin, 1 / radius, 1 / radius, 0.0)
    return torch.where(on_side, distance, torch.inf), normal


def _nearer_root(a: Distances, half: Distances, c: Float[Tensor, "pictures 1"]) -> Distances:
    """The smaller positive root of ``a t² + 2 half t + c``, infinity where there is none."""
    discriminant = half**2 - a * c
    root = (-half - discriminant.clamp(min=0).sqrt()) / a
    return torch.where((discriminant > 0) & (root > 0), root, torch.inf)


def _facing(direction: Rays, axis: Tensor) -> Rays:
    """Unit normals along ``axis``, against the rays."""
    axes = torch.arange(3, device=axis.device)[:, None, None]
    return torch.where(axis == axes, -direction.sign(), 0)


def _column(like: Origins, x: float, y: float, z: float) -> Float[Tensor, "3 1 1"]:
    return torch.tensor((x, y, z), dtype=like.dtype, device=like.device)[:, None, None]
