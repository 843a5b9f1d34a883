"""The scores that have come so far, and the graph that they already give."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int64
from numpy import ndarray

from gdrl.artifacts import Store
from gdrl.config import GraphRecipe
from gdrl.data.scores import levels_of
from gdrl.graph import CorrelationGraph, build_graph
from gdrl.pipeline import SO_FAR

IMAGES_PER_LINE = 256
GROWTH = 1.25
"""From graph to graph, in images. A graph costs 0.3 s at 1,500 images, so all of them cost less
than a minute up to a million; and stopping early asks at most a quarter more than was needed."""


class SoFar:
    """Small arrays: 8 bytes an image and 8 a question.

    Args:
        attributes: the columns.
        num_wanted: images to be asked about in all.
        recipe: of the graph.
        store: where :data:`~gdrl.pipeline.SO_FAR` is written.
    """

    def __init__(
        self, attributes: Sequence[str], num_wanted: int, recipe: GraphRecipe, store: Store
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.num_known = 0
        self.attributes = tuple(attributes)
        self._num_wanted = num_wanted
        self._recipe = recipe
        self._store = store
        self._ids: list[Int64[ndarray, " images"]] = []
        self._levels: list[Float[ndarray, "images attributes"]] = []
        self.num_images, self._num_told, self._num_drawn = 0, 0, 0

    def add(self, rows: pa.Table) -> None:
        """Rows of ``scores.parquet``; each image's lie together."""
        width = len(self.attributes)
        status = rows.column("status").to_numpy(zero_copy_only=False)
        attempts = rows.column("attempts").to_numpy()
        self.counts.update(status)
        self.num_known += int(((attempts == 0) & (status != "failed")).sum())
        levels = levels_of(rows, self._recipe.reading)
        self._ids.append(rows.column("id").to_numpy()[::width])
        self._levels.append(levels.reshape(-1, width))
        self.num_images += len(self._ids[-1])
        if self.num_images - self._num_told >= IMAGES_PER_LINE:
            self._tell()

    def graph(self) -> CorrelationGraph:
        """The graph by now. It does not depend on the order in which answers came."""
        order = np.argsort(np.concatenate(self._ids))
        return build_graph(self._so_far()[order], self.attributes, **self._recipe.measurement)

    def is_enough(self) -> bool:
        """Whether the interval of every edge is narrower than ``interval_width``.

        An attribute that has one level so far, or none, has told nothing of its edges: their
        intervals have no width in any resample.
        """
        columns = (column[~np.isnan(column)] for column in self._so_far().T)
        if any(len(np.unique(column)) < 2 for column in columns):
            return False
        return widest_interval(self.graph()) < self._recipe.interval_width

    def _so_far(self) -> Float[ndarray, "images attributes"]:
        return np.concatenate(self._levels)

    def _tell(self) -> None:
        line: dict[str, object] = {"images": self.num_images, "of": self._num_wanted}
        if self.num_images >= GROWTH * self._num_drawn:
            graph = self.graph()
            line["widest_interval"] = widest_interval(graph)
            line["edges"] = [
                [edge.source, edge.target, edge.weight, edge.lower, edge.upper]
                for edge in graph.edges()
            ]
            self._num_drawn = self.num_images
        self._store.append(SO_FAR, json.dumps(line) + "\n")
        self._num_told = self.num_images


def widest_interval(graph: CorrelationGraph) -> float:
    """Over all ordered pairs of attributes."""
    return float((graph.upper - graph.lower).max())


def rounds(
    ids: Int64[ndarray, " images"], first: int = IMAGES_PER_LINE
) -> Iterator[Int64[ndarray, " some"]]:
    """``ids`` in pieces, after each of which the total is ``GROWTH`` times what it was.

    Asking by the piece makes the images asked about a function of the answers, not of which came
    first: who stops early stops at the same images every time (a fixed-width interval: Chow &
    Robbins 1965).
    """
    start, end = 0, first
    while start < len(ids):
        yield ids[start:end]
        start, end = end, int(GROWTH * end)
