"""What a data set is made of: images to be read or drawn, in chunks that any process may take.

A chunk is small and picklable, reading it needs nothing but the chunk, and every image of it comes
out, as a PNG square or as the reason why there is none. So chunks can be read anywhere and at any
time; what puts them back in order is the callable that ``gdrl.data.prepare`` is given.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Shaped

from gdrl.data.table import CorrelationDescription, Split, Truth

CHUNK = 128
"""Images in a chunk: 0.1 to 0.5 s of work, beside 10 to 25 ms that Ray Data takes for a task."""

A = TypeVar("A")
Rows = TypeVar("Rows", list[str], np.ndarray)


@dataclass(frozen=True)
class Found:
    """One image of a source: a PNG square, or the reason why there is none."""

    path: str | None
    """Where it was read; None for images that were drawn."""
    png: bytes | None = None
    reason: str | None = None


InOrder = Callable[[Callable[[Any], Iterator[Found]], Sequence[Any]], Iterator[Found]]
"""``in_order(read, chunks)`` reads chunks, wherever, and gives their images in order."""


@dataclass(frozen=True)
class ImageSource:
    """Images in order, and what is known of them before they are read."""

    read: Callable[[Any], Iterator[Found]]
    """One chunk to its images; picklable."""
    chunks: Sequence[Any]
    num_images: int
    names: tuple[str, ...]
    values: Shaped[np.ndarray, "image name"]
    """Factors in [0, 1], or labels; no column where nothing is known."""
    splits: Sequence[Split] | None = None
    """The official split, where there is one."""
    kind: Literal["world", "folder"] = "folder"
    style: str | None = None
    """Of the drawing, where a world has several."""
    truth: Truth | None = None
    attribution: str = ""
    """Whose images they are, and on what terms; empty for those of the user's own."""
    correlation: CorrelationDescription | None = None
    """Of the worlds that are grids of factors, injected or not; else None."""


def without_names(
    read: Callable[[A], Iterator[Found]], chunks: Sequence[A], num_images: int
) -> ImageSource:
    """A source of which nothing is known but its images."""
    return ImageSource(read, chunks, num_images, (), np.empty((num_images, 0)))


def one_by_one(read: Callable[[A], Iterator[Found]], chunks: Sequence[A]) -> Iterator[Found]:
    """Read the chunks in this process."""
    return chain.from_iterable(map(read, chunks))


def cut(rows: Rows) -> list[Rows]:
    """Successive runs of ``CHUNK`` rows."""
    return [rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK)]
