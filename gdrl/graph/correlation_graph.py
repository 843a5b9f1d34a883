"""The graph over attributes: signed directed weights, intervals, support."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float

if TYPE_CHECKING:
    import networkx as nx  # type: ignore[import-untyped]

_MATRICES = ("adjacency", "lower", "upper", "support")


@dataclass(frozen=True)
class Edge:
    """An edge ``source`` -> ``target``: weight, interval and number of images behind it."""

    source: str
    target: str
    weight: float
    lower: float
    upper: float
    support: float


@dataclass(frozen=True, eq=False)
class CorrelationGraph:
    """``adjacency[i, j]`` is the weight of names[i] -> names[j]; so ``z_rel = adjacency.T @ z``.

    ``lower`` and ``upper`` bound the *measured* weight with coverage ``confidence``, one edge at a
    time: of the edges that are truly 0, a share of 1 - confidence is drawn all the same. A refined
    graph keeps the measured interval beside its learned weight, which may therefore lie outside it.

    ``support[i, j]`` is the number of images behind the edge: those that show i, out of those where
    both i and j were answered (fractional for soft scores; on the diagonal, all images that show
    i).

    ``signed = False`` says that weights and intervals are magnitudes.

    Raises ValueError for repeated names, wrong shapes, non-finite numbers, a non-zero diagonal,
    crossed bounds or a confidence outside (0, 1). The arrays are copied and read-only.
    """

    names: tuple[str, ...]
    adjacency: Float[np.ndarray, "attribute attribute"]
    lower: Float[np.ndarray, "attribute attribute"]
    upper: Float[np.ndarray, "attribute attribute"]
    support: Float[np.ndarray, "attribute attribute"]
    measure: str
    confidence: float
    signed: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"attribute names must differ: {self.names}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie in (0, 1), not {self.confidence}")
        for field in _MATRICES:
            object.__setattr__(self, field, self._checked(field))
        if (self.lower > self.upper).any():
            raise ValueError("lower exceeds upper")
        if (self.support < 0).any():
            raise ValueError("support is negative")
        if not self.signed and ((self.adjacency < 0).any() or (self.lower < 0).any()):
            raise ValueError("an unsigned graph holds negative weights")

    def _checked(self, field: str) -> Float[np.ndarray, "attribute attribute"]:
        matrix = np.array(getattr(self, field), dtype=np.float64)
        size = len(self.names)
        if matrix.shape != (size, size):
            raise ValueError(f"{field} is {matrix.shape} for {size} names")
        if not np.isfinite(matrix).all():
            raise ValueError(f"{field} holds a number that is not finite")
        if field != "support" and np.diagonal(matrix).any():
            raise ValueError(f"the diagonal of {field} must be 0")
        matrix.flags.writeable = False
        return matrix

    @property
    def drawn(self) -> Bool[np.ndarray, "attribute attribute"]:
        """Where the interval excludes 0."""
        drawn: Bool[np.ndarray, "attribute attribute"] = (self.lower > 0) | (self.upper < 0)
        return drawn

    @property
    def drawn_weights(self) -> Float[np.ndarray, "attribute attribute"]:
        """Weights of the drawn edges; 0 where the interval holds 0."""
        weights: Float[np.ndarray, "attribute attribute"] = np.where(
            self.drawn, self.adjacency, 0.0
        )
        return weights

    def edges(self) -> list[Edge]:
        """The drawn edges, strongest first."""
        edges = [self._edge(int(i), int(j)) for i, j in np.argwhere(self.drawn)]
        return sorted(edges, key=lambda edge: abs(edge.weight), reverse=True)

    def _edge(self, i: int, j: int) -> Edge:
        numbers = {
            field: float(matrix[i, j])
            for field, matrix in (
                ("weight", self.adjacency),
                ("lower", self.lower),
                ("upper", self.upper),
                ("support", self.support),
            )
        }
        return Edge(self.names[i], self.names[j], **numbers)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for ``json.dumps``."""
        return {
            "names": list(self.names),
            **{field: getattr(self, field).tolist() for field in _MATRICES},
            "measure": self.measure,
            "confidence": self.confidence,
            "signed": self.signed,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CorrelationGraph:
        """The inverse of :meth:`to_dict`, checked anew.

        Raises KeyError or TypeError for missing or unknown keys.
        """
        matrices = {field: np.array(stored[field], dtype=np.float64) for field in _MATRICES}
        return cls(**{**stored, "names": tuple(stored["names"]), **matrices})

    def to_networkx(self) -> nx.DiGraph:
        """All attributes as nodes; :meth:`edges` as edges with weight, lower, upper and support."""
        import networkx as nx  # 0.1 s that reading a graph should not cost

        graph = nx.DiGraph(measure=self.measure, confidence=self.confidence, signed=self.signed)
        graph.add_nodes_from(self.names)
        for edge in self.edges():
            graph.add_edge(
                edge.source,
                edge.target,
                weight=edge.weight,
                lower=edge.lower,
                upper=edge.upper,
                support=edge.support,
            )
        return graph

    @classmethod
    def load(cls, path: str | Path) -> CorrelationGraph:
        """Read what :meth:`save` wrote as ``.json``; raises as :meth:`from_dict` does."""
        return cls.from_dict(json.loads(Path(path).read_text()))

    def save(self, path: str | Path) -> None:
        """Write ``.json`` (everything, see :meth:`load`) or ``.graphml`` (the drawn edges).

        Raises ValueError for another suffix.
        """
        suffix = Path(path).suffix
        if suffix == ".json":
            Path(path).write_text(json.dumps(self.to_dict(), indent=2))
        elif suffix == ".graphml":
            import networkx as nx

            nx.write_graphml(self.to_networkx(), path)
        else:
            raise ValueError(f"{path}: a graph is saved as .json or .graphml")
