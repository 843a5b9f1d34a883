"""From a recipe to a data set on disk: read or draw, split, write."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np

from gdrl.config import DatasetRecipe, S3Settings
from gdrl.data.open import open_source
from gdrl.data.source import Found, ImageSource, InOrder, one_by_one
from gdrl.data.table import (
    DatasetDescription,
    Row,
    Split,
    write_description,
    write_images,
    write_quarantine,
)
from gdrl.errors import DataError

Progress = Callable[[int, int], None]
T = TypeVar("T")


def prepare(
    recipe: DatasetRecipe,
    out: Path,
    progress: Progress | None = None,
    *,
    s3: S3Settings = S3Settings(),
    in_order: InOrder = one_by_one,
) -> dict[str, int]:
    """Write the data set of ``recipe`` into the folder ``out``.

    Args:
        recipe: which images.
        out: where to.
        progress: called with (images done, images in all).
        s3: how a source that is an ``s3://`` prefix is reached.
        in_order: reads or draws the chunks of the source; the files do not depend on where.

    Returns:
        ``num_images``, ``num_test`` and ``num_quarantined``.

    Raises:
        DataError: no such folder or style, no readable image, or too few for two splits.
        StorageError: no such bucket, no credentials, or no answer.
    """
    source = open_source(recipe, s3)
    quarantined: list[Found] = []
    counts: Counter[Split] = Counter()
    found = _usable(in_order(source.read, source.chunks), source, quarantined, progress)
    num_images = write_images(out, _counted(_rows(found, source, recipe), counts))
    _check_enough(recipe, counts, quarantined)
    if source.kind == "folder":
        write_quarantine(out, ((str(item.path), str(item.reason)) for item in quarantined))
    write_description(out, describe(recipe, source, num_images, len(quarantined)))
    return {
        "num_images": num_images,
        "num_test": counts["test"],
        "num_quarantined": len(quarantined),
    }


def describe(
    recipe: DatasetRecipe, source: ImageSource, num_images: int, num_quarantined: int = 0
) -> DatasetDescription:
    """What ``dataset.json`` says of a data set made of ``source``."""
    injected = {} if source.correlation is None else {"correlation": source.correlation}
    return DatasetDescription(
        source=recipe.source,
        kind=source.kind,
        style=source.style,
        num_images=num_images,
        num_quarantined=num_quarantined,
        image_size=recipe.image_size,
        attributes=source.names,
        truth=source.truth,
        attribution=source.attribution,
        seed=recipe.seed,
        **injected,
    )


def _usable(
    found: Iterable[Found],
    source: ImageSource,
    quarantined: list[Found],
    progress: Progress | None,
) -> Iterator[tuple[int, Found]]:
    """The usable images with their places in the source; the others go to ``quarantined``."""
    for place, item in zip(range(source.num_images), found, strict=True):
        if item.png is None:
            quarantined.append(item)
        else:
            yield place, item
        if progress:
            progress(place + 1, source.num_images)


def _rows(
    found: Iterable[tuple[int, Found]], source: ImageSource, recipe: DatasetRecipe
) -> Iterator[Row]:
    splits = source.splits
    if splits is None:
        chosen = with_split(found, recipe.test_fraction, recipe.seed)
    else:
        chosen = ((item, splits[item[0]]) for item in found)
    for (place, item), split in chosen:
        values = source.values[place].astype(float).tolist()
        yield Row(item.png or b"", split, item.path, dict(zip(source.names, values, strict=True)))


def _check_enough(recipe: DatasetRecipe, counts: Counter[Split], quarantined: list[Found]) -> None:
    if quarantined and not counts.total():
        raise DataError(
            f"{recipe.source} holds no readable image: all {len(quarantined)} were set aside, the "
            f"first ({quarantined[0].path}) as {quarantined[0].reason}"
        )
    if not counts["train"] or not counts["test"]:
        raise DataError(
            f"{recipe.source}: {counts.total()} image(s) are too few for a training and a test "
            "split; two are the least"
        )


def with_split(items: Iterable[T], test_fraction: float, seed: int) -> Iterator[tuple[T, Split]]:
    """Hold out one item, drawn by ``seed``, of each successive run of ``1 / test_fraction``.

    Exact in number (one more where the last run is short), even along the order, and streamed: a
    folder is split while it is read, before anyone knows how many of its files are damaged.
    """
    stream = iter(items)
    generator = np.random.default_rng([seed, 1])
    for run in count():
        length = ceil((run + 1) / test_fraction) - ceil(run / test_fraction)
        chunk = list(islice(stream, length))
        if not chunk:
            return
        held_out = int(generator.integers(len(chunk)))
        for position, item in enumerate(chunk):
            yield item, "test" if position == held_out else "train"


def _counted(rows: Iterator[Row], counts: Counter[Split]) -> Iterator[Row]:
    for row in rows:
        counts[row.split] += 1
        yield row
