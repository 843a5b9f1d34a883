"""Room for the decoded images of a data set: memory, or a file mapped into it."""

import mmap
import os
import tempfile

import numpy as np
from jaxtyping import UInt8

from gdrl.errors import DataError

Pixels = UInt8[np.ndarray, "images size size 3"]


def room(num_images: int, size: int, max_gb: float) -> Pixels:
    """An array to decode into, whose rows are then read in any order.

    What is larger than ``max_gb`` (10^9 bytes) lies in a scratch file of ``TMPDIR`` that has no
    name and ends with the array, and the page cache holds of it what it has room for.

    Raises:
        DataError: no room for that file.
    """
    num_bytes = num_images * size * size * 3
    if num_bytes <= max_gb * 1e9:
        return np.empty((num_images, size, size, 3), dtype=np.uint8)
    mapped = _mapped(num_bytes)
    # A batch is rows from anywhere: what lies beside one would be read for nothing.
    mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, dtype=np.uint8).reshape(num_images, size, size, 3)


def _mapped(num_bytes: int) -> mmap.mmap:
    with tempfile.TemporaryFile(prefix="gdrl-images-") as file:
        try:
            # Now: a mapped page that finds the disk full later kills the process without a word.
            os.posix_fallocate(file.fileno(), 0, num_bytes)
        except OSError as error:
            raise DataError(
                f"the decoded images take {num_bytes / 1e9:.1f} GB of {tempfile.gettempdir()} "
                f"({error.strerror}); make room there, set TMPDIR to a larger disk, or raise "
                "image_memory_gb in this stage's scale section"
            ) from error
        return mmap.mmap(file.fileno(), num_bytes)
