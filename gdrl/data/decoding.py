"""Encoded images to equal squares; what cannot be used becomes a reason.

The rule, whole: the first frame of an animation; turned as its EXIF orientation says; cropped to
the centre square; transparency laid over white; RGB; Lanczos to the target side.
"""

import struct
import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from gdrl.data.pictures import encode_png
from gdrl.data.source import Found

DAMAGED = (
    OSError,  # truncated, unidentified, unreadable
    SyntaxError,  # broken PNG chunks
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What Pillow's decoders raise on damaged files."""

Prepare = Callable[[Image.Image], UInt8[np.ndarray, "size size 3"]]


class UnusableError(Exception):
    """An intact image that breaks a rule; its message becomes the reason."""


def decode(path: str, open_file: Callable[[str], BinaryIO], prepare: Prepare) -> Found:
    """Read one image.

    It is set aside if it cannot be opened, is damaged, or ``prepare`` raises ``UnusableError``.
    Pillow's warning on images of more than 89 million pixels is taken as an error: a file of 10 KB
    may unpack to gigabytes. Its warnings on metadata are not shown; the pixels are sound.
    """
    try:
        file = open_file(path)
    except OSError as error:
        return Found(path, reason=f"unreadable: {type(error).__name__}: {error.strerror or error}")
    try:
        with file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                return Found(path, encode_png(prepare(image)))
    except UnusableError as error:
        return Found(path, reason=str(error))
    except DAMAGED as error:
        message = str(error).partition(" <_io.")[0]  # whose address differs at every run
        return Found(path, reason=f"damaged: {type(error).__name__}: {message}")


def centre_square(
    image: Image.Image, *, image_size: int, min_side: int
) -> UInt8[np.ndarray, "image_size image_size 3"]:
    """The rule above for an open image, whose sides must be at least ``min_side``."""
    if min(image.size) < min_side:
        raise UnusableError(
            f"too small: {image.width} x {image.height}, shorter side below {min_side}"
        )
    upright = ImageOps.exif_transpose(image)
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    central = _over_white(upright.crop((left, top, left + side, top + side)))
    return np.asarray(central.resize((image_size, image_size), Image.Resampling.LANCZOS))


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow clips 16-bit grey to white instead of scaling it
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
