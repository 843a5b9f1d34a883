"""The images of a folder or of a prefix, a file each.

They are the ``.png``, ``.jpg``, ``.jpeg`` and ``.webp`` below it, in any case of letters, at any
depth, hidden names left out, in the order of the relative paths.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from gdrl.data.decoding import Prepare, decode
from gdrl.data.folder import Folder
from gdrl.data.s3_prefix import S3Prefix
from gdrl.data.source import Found, ImageSource, cut, without_names

Place = Folder | S3Prefix
"""Files under relative names; picklable, and open where it is read from."""
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


def is_image(name: str) -> bool:
    """Whether a name ends as those of images do."""
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def choose(paths: list[str], num: int, seed: int) -> list[str]:
    """At most ``num`` of the paths, drawn by ``seed``, in their old order.

    A draw rather than the first ``num``: folders are often sorted by what they show.
    """
    if len(paths) <= num:
        return paths
    kept = np.sort(np.random.default_rng(seed).permutation(len(paths))[:num])
    return [paths[index] for index in kept]


def loose_images(place: Place, paths: list[str], prepare: Prepare) -> ImageSource:
    """The images under these names of a place."""
    return without_names(partial(read_images, place, prepare), cut(paths), len(paths))


def read_images(place: Place, prepare: Prepare, paths: Sequence[str]) -> Iterator[Found]:
    """Read ``paths`` one by one."""
    for path in paths:
        yield decode(path, place.open, prepare)
