"""A finite grid of factors: every combination once, addressed by index, never held in memory."""

from dataclasses import dataclass
from math import prod

import numpy as np
from jaxtyping import Float, Integer

from gdrl.errors import DataError


@dataclass(frozen=True)
class FactorGrid:
    """Named factors with a finite number of values each.

    A row of factors holds the position of each value, 0 to size - 1. Index 0 is all zeros, the last
    factor moves fastest: dSprites' own order.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __len__(self) -> int:
        return prod(self.sizes)

    def position(self, name: str) -> int:
        """The column of a factor.

        Raises:
            DataError: no such factor.
        """
        if name not in self.names:
            raise DataError(f"no factor {name!r}; choose one of {', '.join(self.names)}")
        return self.names.index(name)

    def factors(self, index: Integer[np.ndarray, " rows"]) -> Integer[np.ndarray, "rows factor"]:
        """The combinations at these places of the grid.

        Raises:
            DataError: an index outside the grid.
        """
        if len(index) and not (index.min() >= 0 and index.max() < len(self)):
            raise DataError(f"the grid has {len(self)} combinations: 0 to {len(self) - 1}")
        return np.stack(np.unravel_index(index, self.sizes), axis=1)

    def index(self, factors: Integer[np.ndarray, "rows factor"]) -> Integer[np.ndarray, " rows"]:
        """Where these combinations stand in the grid; the inverse of :meth:`factors`."""
        self.check(factors)
        return np.asarray(np.ravel_multi_index(tuple(factors.T), self.sizes))

    def scaled(
        self, factors: Integer[np.ndarray, "rows factor"]
    ) -> Float[np.ndarray, "rows factor"]:
        """Positions over (size - 1): every factor from 0 to 1 in equal steps."""
        self.check(factors)
        return np.asarray(factors / (np.array(self.sizes) - 1))

    def check(self, factors: Integer[np.ndarray, "rows factor"]) -> None:
        """Raise DataError unless every row is a combination of this grid."""
        if factors.shape[1] != len(self.sizes):
            raise DataError(
                f"a row holds {len(self.sizes)} factors ({', '.join(self.names)}), "
                f"not {factors.shape[1]}"
            )
        outside = ((factors < 0) | (factors >= np.array(self.sizes))).any(axis=0)
        if outside.any():
            factor = int(np.argmax(outside))
            raise DataError(
                f"factor {self.names[factor]!r} takes 0 to {self.sizes[factor] - 1}, not "
                f"{factors[:, factor].min()} to {factors[:, factor].max()}"
            )
