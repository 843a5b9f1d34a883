"""Camera, light and colours of ``shapes3d_like``, in torch.

Light is white and bounces once, so a picture is linear in its three colours: rays are cast once for
each geometry, and the colourings are sums. Single precision: silhouettes move by less than a sample
(1/3 pixel).
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from gdrl.data.shapes3d_rays import FOOTPRINT, OBJECTS, Origins, Rays, hit_room, points

SIZE = 64
_SAMPLES = 3  # rays a pixel, each way
_CAMERA_DISTANCE, _CAMERA_HEIGHT = 3.9, 1.9
_LOOK_AT = 0.62
_FIELD_OF_VIEW = math.radians(43)
_LIGHT = (-0.45, -0.65, 0.75)
_AMBIENT, _DIFFUSE, _SPECULAR = 0.5, 0.5, 0.35
_SHADOW = 0.55


def colour(
    shading: Float[Tensor, "rows pixels 4"], colours: Float[Tensor, "rows 3 3"]
) -> UInt8[Tensor, "rows 64 64 3"]:
    """Pictures from shading maps and the RGB of floor, wall and object."""
    white = torch.ones_like(colours[:, :1])
    light = torch.bmm(shading, torch.cat([colours, white], dim=1))
    pixels = light.clamp_(max=1).mul_(255).add_(0.5).to(torch.uint8)
    return pixels.reshape(-1, SIZE, SIZE, 3)


@lru_cache(maxsize=8 * 4)
def shading_maps(
    shape: str, scale: float, azimuths: tuple[float, ...], device: str
) -> Float[Tensor, "azimuths 4096 4"]:
    """How much of floor, wall and object colour, and of white, each pixel shows.

    The first three hold coverage times light. ``azimuths``, in degrees, is where the camera goes
    round the room: one picture each, cast together.
    """
    origin, direction = _rays(torch.tensor(azimuths, device=device).deg2rad())
    to_room, inwards = hit_room(origin, direction)
    to_object, outwards = OBJECTS[shape](origin, direction, scale)
    on_object = to_object < to_room
    normal = torch.where(on_object, outwards, inwards)
    on_floor = ~on_object & (normal[2] > 0.5)
    towards_light = torch.tensor(_LIGHT, device=device)[:, None, None] / math.hypot(*_LIGHT)
    light = _AMBIENT + _DIFFUSE * (normal * towards_light).sum(dim=0).clamp(min=0)
    ground = points(origin, direction, to_room)
    shadow = _contact_shadow(ground, FOOTPRINT[shape] * scale)
    half = towards_light - direction
    cosine = (normal * half).sum(dim=0) / (half**2).sum(dim=0).sqrt()
    layers = (
        on_floor * light * shadow,
        (~on_object & ~on_floor) * light,
        on_object * light,
        on_object * _SPECULAR * cosine.clamp(min=0) ** 24,
    )
    grid = (len(azimuths), len(layers), SIZE, _SAMPLES, SIZE, _SAMPLES)
    samples = torch.stack(layers, dim=1).reshape(grid)
    return samples.mean(dim=(3, 5)).flatten(start_dim=2).transpose(1, 2).contiguous()


def _rays(azimuth: Float[Tensor, " pictures"]) -> tuple[Origins, Rays]:
    """The camera's places and the unit directions of all samples, rows from the top."""
    x, y = _CAMERA_DISTANCE * azimuth.sin(), -_CAMERA_DISTANCE * azimuth.cos()
    origin = torch.stack([x, y, torch.full_like(x, _CAMERA_HEIGHT)])
    forward = torch.stack([-x, -y, torch.full_like(x, _LOOK_AT - _CAMERA_HEIGHT)])
    forward = forward / forward.norm(dim=0)
    right = torch.stack([forward[1], -forward[0], torch.zeros_like(x)])
    right = right / right.norm(dim=0)
    up = torch.linalg.cross(right, forward, dim=0)
    num = SIZE * _SAMPLES
    steps = (torch.arange(num, device=azimuth.device) + 0.5) / num * 2 - 1
    steps = steps * math.tan(_FIELD_OF_VIEW / 2)
    rows, columns = steps[:, None], steps[None, :]
    direction = (
        forward[..., None, None] - rows * up[..., None, None] + columns * right[..., None, None]
    )
    direction = direction / (direction**2).sum(dim=0).sqrt()
    return origin[..., None], direction.flatten(start_dim=2)


def _contact_shadow(ground: Rays, radius: float) -> Float[Tensor, "pictures rays"]:
    """Floor light near the object: least below it, full one radius away from its edge."""
    distance = torch.hypot(ground[0], ground[1])
    depth = (2 - distance / radius).clamp(0, 1)
    return 1 - _SHADOW * depth**2 * (3 - 2 * depth)
