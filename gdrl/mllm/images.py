"""Untrusted picture bytes to pixels, within limits."""

import io

from PIL import Image

from gdrl.errors import DataError

MAX_BYTES = 32 * 2**20
MAX_PIXELS = 40_000_000
"""40 megapixels: beyond any camera picture, 120 MB once decoded."""

_FORMATS = ("PNG", "JPEG")


def decode(image: bytes) -> Image.Image:
    """Decode a PNG or JPEG to RGB.

    Raises:
        DataError: too many bytes or pixels, another format, or damaged.
    """
    if len(image) > MAX_BYTES:
        raise DataError(f"image of {len(image)} bytes; the limit is {MAX_BYTES}")
    try:
        # The header alone is read here, so a small file cannot unfold into gigabytes.
        opened = Image.open(io.BytesIO(image), formats=_FORMATS)
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise DataError(f"image of {width} x {height} pixels; the limit is {MAX_PIXELS}")
        return opened.convert("RGB")
    # Pillow reports damage as OSError, ValueError or, in PNG chunks, SyntaxError.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"image cannot be decoded: {error}") from error
