"""Encoded images to equal squares: by several processes, from files or from bytes.

The rule is that of ``gdrl.data.folder``, and so are the reasons for setting an image aside.
"""

import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gdrl.data.folder import DAMAGED, FolderImage, Quarantined, read_folder, square
from gdrl.data.parallel import in_order

CHUNK = 64
"""Images that a process reads at a time: 0.8 MB on the way back."""
WORTH_A_PROCESS = 1_024
"""Images for each process: starting one takes about a second, in which another decodes so many."""

Found = FolderImage | Quarantined
Prepare = Callable[[Image.Image], UInt8[np.ndarray, "size size 3"]]


class UnusableError(Exception):
    """An intact image that breaks a rule; its message becomes the reason."""


@dataclass(frozen=True)
class Encoded:
    """An image still to be decoded, or the reason why there is none."""

    path: str
    data: bytes = b""
    reason: str = ""


def read_files(
    folder: Path, paths: list[str], *, image_size: int, min_side: int, num_processes: int = 1
) -> Iterator[Found]:
    """``read_folder`` by ``num_processes``; neither order nor pixels depend on how many."""
    read = partial(_read_chunk, folder, image_size, min_side)
    chunks = (paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK))
    processes = worthwhile_processes(num_processes, len(paths))
    return chain.from_iterable(in_order(read, chunks, processes))


def decode_all(
    images: Iterable[Encoded], prepare: Prepare, num_processes: int = 1
) -> Iterator[Found]:
    """Decode in order by ``num_processes``; ``prepare`` must pickle if they are more than one."""
    decode = partial(_decode_chunk, prepare)
    return chain.from_iterable(in_order(decode, _chunks(iter(images)), num_processes))


def worthwhile_processes(num_processes: int, num_images: int) -> int:
    """At most ``num_processes``, and no more than have enough to do."""
    return max(1, min(num_processes, num_images // WORTH_A_PROCESS))


def decode(image: Encoded, prepare: Prepare) -> Found:
    """One image; it is set aside if it is damaged or ``prepare`` raises ``UnusableError``."""
    if image.reason:
        return Quarantined(image.path, image.reason)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(image.data)) as opened:
                return FolderImage(image.path, prepare(opened))
    except UnusableError as error:
        return Quarantined(image.path, str(error))
    except DAMAGED as error:
        message = str(error).partition(" <_io.BytesIO")[0]  # whose address differs at every run
        return Quarantined(image.path, f"damaged: {type(error).__name__}: {message}")


def centre_square(
    image: Image.Image, *, image_size: int, min_side: int
) -> UInt8[np.ndarray, "image_size image_size 3"]:
    """The folder's rule for an open image."""
    if min(image.size) < min_side:
        raise UnusableError(
            f"too small: {image.width} x {image.height}, shorter side below {min_side}"
        )
    return square(image, image_size)


def _read_chunk(folder: Path, image_size: int, min_side: int, paths: list[str]) -> list[Found]:
    return list(read_folder(folder, paths, image_size=image_size, min_side=min_side))


def _decode_chunk(prepare: Prepare, images: list[Encoded]) -> list[Found]:
    return [decode(image, prepare) for image in images]


def _chunks(images: Iterator[Encoded]) -> Iterator[list[Encoded]]:
    while chunk := list(islice(images, CHUNK)):
        yield chunk
