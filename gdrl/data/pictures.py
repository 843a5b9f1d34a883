"""Pictures in and out: PNG bytes, and grids of equal images as one PNG."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image


def encode_png(pixels: UInt8[ndarray, "height width 3"]) -> bytes:
    """The image as PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def save_grid(path: Path, images: UInt8[ndarray, "rows columns height width 3"]) -> None:
    """Write a grid without gaps, so that a page can cut single frames out of it."""
    rows, columns, height, width, _ = images.shape
    grid = images.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(grid)).save(path, optimize=True)


def slug(name: str) -> str:
    """The part of a file name that stands for an attribute, and for no other.

    Plain lower-case words with dashes between; where that leaves anything out of the name, or ends
    as the second picture of another's pair (``hat-alone``), a digest follows.
    """
    words = re.findall(r"[a-z0-9]+", name.lower())
    if words[-1:] != ["alone"] and name == " ".join(words):
        return "-".join(words)
    return f"{'-'.join(words)}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
