"""CelebA from its official files (Liu et al. 2015), which are the user's to download.

::

    ROOT/img_align_celeba/000001.jpg …      aligned and cropped, 178 x 218
    ROOT/list_attr_celeba.txt               number of images, 40 names, then name and -1 or 1
    ROOT/list_eval_partition.txt            name and 0 (train), 1 (validation) or 2 (test)

The text files may also lie in ``Anno/`` and ``Eval/``, and the images in ``Img/img_align_celeba``,
as in the official archive. Images are cropped to the central 148 x 148 (columns 15 to 162, rows 35
to 182), which the aligned faces fill, and resized to the target by Lanczos: no landmark is needed.
The official split is kept; validation images are left out, since nothing here is tuned on them.

CelebA is for non-commercial research and its images are not ours to pass on: nothing of it is
shipped, and a data set made of it must stay where its terms allow.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Integer, UInt8
from PIL import Image

from gdrl.data.decoding import UnusableError
from gdrl.data.folder import Folder
from gdrl.data.loose_images import loose_images
from gdrl.data.source import ImageSource
from gdrl.data.table import Split
from gdrl.errors import DataError

ALIGNED_SIZE = (178, 218)
"""Width and height of the aligned images; others are set aside."""
CROP_SIDE = 148
SPLITS: dict[int, Split] = {0: "train", 2: "test"}
ATTRIBUTION = (
    "CelebA (Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015); "
    "non-commercial research only, not to be redistributed"
)

_IMAGES, _ATTRIBUTES, _PARTITION = (
    "img_align_celeba",
    "list_attr_celeba.txt",
    "list_eval_partition.txt",
)
_OFFICIAL_FOLDERS = {_IMAGES: "Img", _ATTRIBUTES: "Anno", _PARTITION: "Eval"}


@dataclass(frozen=True)
class CelebA:
    """The lists of a CelebA tree: which images there are, their labels and their split."""

    images: Path
    files: tuple[str, ...]
    attributes: tuple[str, ...]
    """As people write them: ``Wearing_Hat`` is "wearing hat"."""
    labels: Bool[np.ndarray, "image attribute"]
    partition: Integer[np.ndarray, " image"]
    """0 train, 1 validation, 2 test."""

    def choose(self, num: int, seed: int) -> Integer[np.ndarray, " chosen"]:
        """At most ``num`` training and test images, drawn by ``seed``, in the order of the list."""
        usable = np.flatnonzero(np.isin(self.partition, list(SPLITS)))
        return np.sort(np.random.default_rng(seed).permutation(usable)[:num])


def open_celeba(root: Path) -> CelebA:
    """Read the two lists.

    Raises:
        DataError: a part of the tree is missing (all that are, by name), or a list is not what it
            should be.
    """
    places = {part: _find(root, part) for part in _OFFICIAL_FOLDERS}
    if missing := [part for part, place in places.items() if place is None]:
        raise DataError(
            f"{root} is no CelebA tree: {', '.join(missing)} missing; put the official files there"
        )
    found = {part: place for part, place in places.items() if place is not None}
    files, attributes, labels = _read_attributes(found[_ATTRIBUTES])
    partition = _read_partition(found[_PARTITION])
    if unlisted := [file for file in files if file not in partition]:
        raise DataError(
            f"{found[_PARTITION]} does not list {unlisted[0]} ({len(unlisted)} in all), which "
            f"{_ATTRIBUTES} does"
        )
    return CelebA(
        found[_IMAGES], files, attributes, labels, np.array([partition[file] for file in files])
    )


def celeba_images(celeba: CelebA, num_images: int, seed: int, image_size: int) -> ImageSource:
    """At most ``num_images`` of the tree, drawn by ``seed``, with labels and official split."""
    chosen = celeba.choose(num_images, seed)
    prepare = partial(crop_face, image_size=image_size)
    faces = loose_images(Folder(celeba.images), [celeba.files[place] for place in chosen], prepare)
    splits = [SPLITS[part] for part in celeba.partition[chosen].tolist()]
    return replace(
        faces,
        names=celeba.attributes,
        values=celeba.labels[chosen],
        splits=splits,
        attribution=ATTRIBUTION,
    )


def crop_face(
    image: Image.Image, *, image_size: int
) -> UInt8[np.ndarray, "image_size image_size 3"]:
    """The central 148 x 148 of an aligned image, resized; other sizes are refused."""
    if image.size != ALIGNED_SIZE:
        raise UnusableError(f"{image.width} x {image.height}, not an aligned image of 178 x 218")
    left, top = ((side - CROP_SIDE) // 2 for side in ALIGNED_SIZE)
    face = image.convert("RGB").crop((left, top, left + CROP_SIDE, top + CROP_SIDE))
    return np.asarray(face.resize((image_size, image_size), Image.Resampling.LANCZOS))


def _find(root: Path, part: str) -> Path | None:
    places = (root / part, root / _OFFICIAL_FOLDERS[part] / part)
    return next((place for place in places if place.exists()), None)


def _read_attributes(
    file: Path,
) -> tuple[tuple[str, ...], tuple[str, ...], Bool[np.ndarray, "image attribute"]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    names = tuple(name.replace("_", " ").lower() for name in lines[1].split()) if lines[1:] else ()
    rows = [line.split() for line in lines[2:] if line.strip()]
    bad = next((r for r, row in enumerate(rows) if not _is_labels(row, len(names))), None)
    if not rows or not names or bad is not None:
        line = 2 if bad is None else bad + 3
        raise DataError(
            f"{file}: line {line} is not as in CelebA: a number, then the names, then lines of a "
            f"file name and {len(names)} times -1 or 1"
        )
    labels = np.array([[label == "1" for label in row[1:]] for row in rows])
    return tuple(row[0] for row in rows), names, labels


def _is_labels(row: list[str], num: int) -> bool:
    return len(row) == num + 1 and set(row[1:]) <= {"1", "-1"}


def _read_partition(file: Path) -> dict[str, int]:
    partition = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        match line.split():
            case []:
                continue
            case [name, ("0" | "1" | "2") as part]:
                partition[name] = int(part)
            case _:
                raise DataError(f"{file}: line {number} is not a file name and 0, 1 or 2")
    return partition
