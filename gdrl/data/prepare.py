"""From a recipe to a data set on disk: worlds are drawn, images of other sources are read."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count, islice
from math import ceil
from pathlib import Path
from typing import TypeVar

import numpy as np

from gdrl.config import CELEBA, GRID_WORLDS, WORLDS, DatasetRecipe
from gdrl.data import celeba, faces, grid_world
from gdrl.data.decoding import (
    Found,
    centre_square,
    decode_all,
    read_files,
    worthwhile_processes,
)
from gdrl.data.folder import Quarantined, choose, list_images
from gdrl.data.parquet_images import is_parquet, read_parquet
from gdrl.data.table import (
    DatasetDescription,
    Row,
    Split,
    Truth,
    write_description,
    write_images,
    write_quarantine,
)
from gdrl.errors import DataError

Progress = Callable[[int, int], None]
T = TypeVar("T")


def prepare(
    recipe: DatasetRecipe, out: Path, progress: Progress | None = None, *, num_processes: int = 1
) -> dict[str, int]:
    """Write the data set of ``recipe`` into the folder ``out``.

    ``progress`` is called with (images done, images in all). ``num_processes`` draw or decode; the
    images do not depend on how many they are.

    Returns:
        ``num_images``, ``num_test`` and ``num_quarantined``.

    Raises:
        DataError: no such folder or style, no readable image, or too few for two splits.
    """
    counts: Counter[Split] = Counter()
    if recipe.source in WORLDS:
        images = draw_world(recipe, progress, num_processes)
        num_images = write_images(out, _counted(images, counts))
        description = _describe_world(recipe, num_images)
    else:
        quarantined: list[Quarantined] = []
        names: tuple[str, ...] = ()
        if recipe.source.startswith(CELEBA):
            tree = celeba.open_celeba(Path(recipe.source.removeprefix(CELEBA)).expanduser())
            names = tree.attributes
            images = read_celeba(recipe, tree, quarantined, progress, num_processes)
        else:
            images = read_images(recipe, quarantined, progress, num_processes)
        num_images = write_images(out, _counted(images, counts))
        write_quarantine(out, ((item.path, item.reason) for item in quarantined))
        description = _describe_images(recipe, num_images, len(quarantined), names)
    if not counts["train"] or not counts["test"]:
        raise DataError(
            f"{recipe.source}: {num_images} image(s) are too few for a training and a test split; "
            "two are the least"
        )
    write_description(out, description)
    return {
        "num_images": num_images,
        "num_test": counts["test"],
        "num_quarantined": description.num_quarantined,
    }


def draw_world(
    recipe: DatasetRecipe, progress: Progress | None = None, num_processes: int = 1
) -> Iterator[Row]:
    """The rows of a world."""
    if recipe.source in GRID_WORLDS:
        world = grid_world.GRID_WORLDS[recipe.source]
        grid_factors = grid_world.draw_factors(recipe)
        names, values = world.grid.names, world.grid.scaled(grid_factors)
        images = grid_world.draw_rows(world, grid_factors)
    else:
        factors = faces.sample_factors(recipe.num_images, recipe.seed)
        names, values = faces.ATTRIBUTES, factors.astype(float)
        images = faces.render_rows(
            factors, recipe.seed, _style(recipe), recipe.image_size, num_processes
        )
    rows = zip((row.tolist() for row in values), images, strict=True)
    for done, ((row, pixels), split) in enumerate(
        with_split(rows, recipe.test_fraction, recipe.seed), start=1
    ):
        yield Row(pixels, split, factors=dict(zip(names, row, strict=True)))
        if progress:
            progress(done, recipe.num_images)


def read_images(
    recipe: DatasetRecipe,
    quarantined: list[Quarantined],
    progress: Progress | None = None,
    num_processes: int = 1,
) -> Iterator[Row]:
    """The rows of a folder or of parquet; what cannot be used is appended to ``quarantined``.

    Raises:
        DataError: no such folder, or no readable image in it.
    """
    source = Path(recipe.source).expanduser()
    total, found = _open_images(recipe, source, num_processes)
    readable = _usable(found, total, quarantined, progress)
    for image, split in with_split(readable, recipe.test_fraction, recipe.seed):
        yield Row(image.pixels, split, path=image.path)
    _check_some_usable(source, total, quarantined)


def read_celeba(
    recipe: DatasetRecipe,
    tree: celeba.CelebA,
    quarantined: list[Quarantined],
    progress: Progress | None = None,
    num_processes: int = 1,
) -> Iterator[Row]:
    """The rows of a CelebA tree, in its own split; otherwise as :func:`read_images`."""
    chosen = tree.choose(recipe.num_images, recipe.seed)
    found = celeba.read_celeba(
        tree, chosen, image_size=recipe.image_size, num_processes=num_processes
    )
    yield from _usable(found, len(chosen), quarantined, progress)
    _check_some_usable(tree.images, len(chosen), quarantined)


def _open_images(
    recipe: DatasetRecipe, source: Path, num_processes: int
) -> tuple[int, Iterator[Found]]:
    """How many images come, and the images or what was set aside."""
    size, min_side = recipe.image_size, recipe.min_side
    if is_parquet(source):
        total, encoded = read_parquet(source, recipe.num_images, recipe.seed)
        square = partial(centre_square, image_size=size, min_side=min_side)
        return total, decode_all(encoded, square, worthwhile_processes(num_processes, total))
    paths = choose(list_images(source), recipe.num_images, recipe.seed)
    return len(paths), read_files(
        source, paths, image_size=size, min_side=min_side, num_processes=num_processes
    )


def _usable(
    found: Iterable[T | Quarantined],
    total: int,
    quarantined: list[Quarantined],
    progress: Progress | None,
) -> Iterator[T]:
    for done, item in enumerate(found, start=1):
        if isinstance(item, Quarantined):
            quarantined.append(item)
        else:
            yield item
        if progress:
            progress(done, total)


def _check_some_usable(source: Path, total: int, quarantined: list[Quarantined]) -> None:
    if quarantined and len(quarantined) == total:
        raise DataError(
            f"{source} holds no readable image: all {total} were set aside, the first "
            f"({quarantined[0].path}) as {quarantined[0].reason}"
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


def _style(recipe: DatasetRecipe) -> str:
    return faces.DEFAULT_STYLE if recipe.style == "default" else recipe.style


def _describe_world(recipe: DatasetRecipe, num_images: int) -> DatasetDescription:
    if recipe.source in GRID_WORLDS:
        return grid_world.describe_grid(recipe, num_images)
    truth = Truth(
        adjacency=faces.population_association(faces.MODEL).tolist(),
        interventional=faces.interventional(faces.MODEL).tolist(),
        prevalence=faces.prevalence(faces.MODEL).tolist(),
    )
    return DatasetDescription(
        source=recipe.source,
        kind="world",
        style=_style(recipe),
        num_images=num_images,
        num_quarantined=0,
        image_size=recipe.image_size,
        attributes=faces.ATTRIBUTES,
        truth=truth,
        attribution=faces.attribution(_style(recipe)),
        seed=recipe.seed,
    )


def _describe_images(
    recipe: DatasetRecipe, num_images: int, num_quarantined: int, attributes: tuple[str, ...]
) -> DatasetDescription:
    return DatasetDescription(
        source=recipe.source,
        kind="folder",
        style=None,
        num_images=num_images,
        num_quarantined=num_quarantined,
        image_size=recipe.image_size,
        attributes=attributes,
        truth=None,
        attribution=celeba.ATTRIBUTION if attributes else "",
        seed=recipe.seed,
    )
