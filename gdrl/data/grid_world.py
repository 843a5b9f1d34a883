"""The worlds that are grids of factors, on their way into a data set."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Integer, UInt8

from gdrl.config import DatasetRecipe
from gdrl.data import dsprites_like, shapes3d_like
from gdrl.data.correlation import (
    Correlation,
    population_association,
    population_mean,
    sample,
)
from gdrl.data.factor_grid import FactorGrid
from gdrl.data.pictures import encode_png
from gdrl.data.source import Found, ImageSource, cut
from gdrl.data.table import CorrelationDescription, Truth
from gdrl.errors import DataError

BATCH = 256
"""Images drawn at a time; 3 MB at 64 pixels."""


@dataclass(frozen=True)
class GridWorld:
    """A finite world: its factors, how it is drawn, and whose idea it was."""

    grid: FactorGrid
    render: Callable[[Integer[np.ndarray, "rows factor"]], UInt8[np.ndarray, "rows 64 64 3"]]
    attribution: str


GRID_WORLDS: Mapping[str, GridWorld] = {
    "dsprites_like": GridWorld(dsprites_like.GRID, dsprites_like.render, dsprites_like.ATTRIBUTION),
    "shapes3d_like": GridWorld(shapes3d_like.GRID, shapes3d_like.render, shapes3d_like.ATTRIBUTION),
}


def draw_factors(recipe: DatasetRecipe) -> Integer[np.ndarray, "num factor"]:
    """The combinations that a recipe shows, drawn with replacement.

    Raises:
        DataError: an impossible correlation, or a style; these worlds have one look.
    """
    if recipe.style != "default":
        raise DataError(f"{recipe.source} has no style {recipe.style!r}; leave it at default")
    grid = GRID_WORLDS[recipe.source].grid
    return sample(grid, recipe.num_images, recipe.seed, correlation_of(recipe))


def grid_images(recipe: DatasetRecipe) -> ImageSource:
    """The images of a recipe, to be drawn.

    Raises:
        DataError: as :func:`draw_factors` does.
    """
    world, correlation = GRID_WORLDS[recipe.source], correlation_of(recipe)
    factors = draw_factors(recipe)
    association = population_association(world.grid, correlation)
    mean = population_mean(world.grid, correlation)
    return ImageSource(
        partial(_draw_chunk, recipe.source),
        chunks=cut(factors),
        num_images=len(factors),
        names=world.grid.names,
        values=world.grid.scaled(factors),
        kind="world",
        truth=Truth(
            adjacency=tuple(map(tuple, association.tolist())),
            interventional=None,
            prevalence=tuple(mean.tolist()),
        ),
        attribution=world.attribution,
        correlation=CorrelationDescription(pairs=correlation.pairs, sigma=correlation.sigma),
    )


def draw_rows(
    world: GridWorld, factors: Integer[np.ndarray, "rows factor"]
) -> Iterator[UInt8[np.ndarray, "64 64 3"]]:
    """Draw every row in order, ``BATCH`` at a time."""
    for first in range(0, len(factors), BATCH):
        yield from world.render(factors[first : first + BATCH])


def draw_grid(
    world: GridWorld, start: int = 0, stop: int | None = None
) -> Iterator[UInt8[np.ndarray, "64 64 3"]]:
    """Draw the grid, or its places ``start`` to ``stop``, in order; at most a batch in memory."""
    last = len(world.grid) if stop is None else stop
    for first in range(start, last, BATCH):
        yield from world.render(world.grid.factors(np.arange(first, min(first + BATCH, last))))


def _draw_chunk(name: str, factors: Integer[np.ndarray, "rows factor"]) -> Iterator[Found]:
    for pixels in draw_rows(GRID_WORLDS[name], factors):
        yield Found(None, encode_png(pixels))


def correlation_of(recipe: DatasetRecipe) -> Correlation:
    """The injected correlation that a recipe asks for."""
    return Correlation(recipe.correlation.pairs, recipe.correlation.sigma)
