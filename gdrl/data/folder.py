"""Any folder of images: what is usable becomes equal squares, the rest is set aside with a reason.

The rule, whole: every ``.png``, ``.jpg``, ``.jpeg`` or ``.webp`` below the folder, in any case of
letters, hidden names left out, in the order of the relative paths; the first frame of an animation;
turned as its EXIF orientation says; cropped to the centre square; transparency laid over white;
RGB; Lanczos to the target side.
"""

import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from gdrl.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
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


@dataclass(frozen=True)
class FolderImage:
    """A usable image: its path below the folder, with forward slashes, and its pixels."""

    path: str
    pixels: UInt8[np.ndarray, "size size 3"]


@dataclass(frozen=True)
class Quarantined:
    """An image that was set aside, and why."""

    path: str
    reason: str


def list_images(folder: Path) -> list[str]:
    """Paths of the image files below ``folder``, relative to it, sorted.

    Raises:
        DataError: the folder does not exist, or holds no file with an image suffix.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; set recipe.dataset.source to a folder of images"
        )
    found = []
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [
            (Path(parent) / name).relative_to(folder).as_posix()
            for name in names
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    if not found:
        raise DataError(
            f"{folder} holds no image: looked for {', '.join(sorted(SUFFIXES))} at any depth"
        )
    return sorted(found)


def choose(paths: list[str], num: int, seed: int) -> list[str]:
    """At most ``num`` of the paths, drawn by ``seed``, in their old order.

    A draw rather than the first ``num``: folders are often sorted by what they show.
    """
    if len(paths) <= num:
        return paths
    kept = np.sort(np.random.default_rng(seed).permutation(len(paths))[:num])
    return [paths[index] for index in kept]


def read_folder(
    folder: Path, paths: list[str], *, image_size: int, min_side: int
) -> Iterator[FolderImage | Quarantined]:
    """Read ``paths`` one by one; a file that cannot be used is yielded as ``Quarantined``."""
    for path in paths:
        try:
            pixels = read_image(folder / path, image_size=image_size, min_side=min_side)
        except _UnusableError as error:
            yield Quarantined(path, str(error))
        except DAMAGED as error:
            yield Quarantined(
                path, f"damaged: {type(error).__name__}: {error}".replace(str(folder), ".")
            )
        else:
            yield FolderImage(path, pixels)


def read_image(
    file: Path, *, image_size: int, min_side: int
) -> UInt8[np.ndarray, "image_size image_size 3"]:
    """One image by the rule above; raises what ``read_folder`` turns into a reason.

    Pillow's warning on images of more than 89 million pixels is taken as an error: a file of 10 KB
    may unpack to gigabytes. Its warnings on metadata are not shown; the pixels are sound.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file) as image:
            width, height = image.size
            if min(width, height) < min_side:
                raise _UnusableError(
                    f"too small: {width} x {height}, shorter side below {min_side}"
                )
            return square(image, image_size)


class _UnusableError(Exception):
    """An intact image that breaks a rule of the recipe."""


def square(image: Image.Image, size: int) -> UInt8[np.ndarray, "size size 3"]:
    """Upright, cut to its central square, resized by Lanczos, transparency laid over white."""
    upright = ImageOps.exif_transpose(image)
    side = min(upright.size)
    left, top = (upright.width - side) // 2, (upright.height - side) // 2
    central = _over_white(upright.crop((left, top, left + side, top + side)))
    return np.asarray(central.resize((size, size), Image.Resampling.LANCZOS))


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow clips 16-bit grey to white instead of scaling it
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")
