"""The graph as the artifacts tell it: measured, refined, and true where the truth is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gdrl.report.sources import Matrix, Sources, finite, matrix, reordered
from gdrl.report.wording import count, number, percent, signed


@dataclass(frozen=True)
class Relation:
    """One directed pair of attributes, ``source -> target``, with all that is known of it."""

    source: int
    target: int
    source_name: str
    target_name: str
    measured: float | None
    lower: float | None
    upper: float | None
    support: float | None
    refined: float | None
    truth: float | None

    @property
    def stands_out(self) -> bool:
        """Whether the interval excludes zero (true for a measured weight without an interval)."""
        if not self.measured:
            return False
        return self.lower is None or self.upper is None or not self.lower <= 0 <= self.upper

    @property
    def interval(self) -> str:
        """The bootstrap interval, ``0.31 to 0.48``."""
        if self.lower is None or self.upper is None:
            return "–"
        return f"{number(self.lower)} to {number(self.upper)}"

    def text(self, confidence: float | None) -> str:
        """One line for a tooltip: weights, interval, the number of images behind it."""
        parts = [f"measured {signed(self.measured)}"]
        if self.lower is not None:
            level = f"{percent(confidence)} interval" if confidence else "interval"
            parts.append(f"{level} {self.interval}")
        if self.support is not None:
            parts.append(f"{count(self.support)} images behind it")
        if self.refined is not None:
            parts.append(f"refined {signed(self.refined)}")
        if self.truth is not None:
            parts.append(f"truth {signed(self.truth)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class Relations:
    """All attributes and their pairwise weights; ``measured[i][j]`` is the weight of i -> j."""

    names: list[str]
    measured: Matrix
    refined: Matrix | None
    truth: Matrix | None
    pairs: list[Relation]
    measure: str
    confidence: float | None
    signed: bool
    """Whether a weight says which way; otherwise it is a magnitude."""

    @property
    def found(self) -> list[Relation]:
        """Pairs whose interval excludes zero, strongest first."""
        drawn = [pair for pair in self.pairs if pair.stands_out]
        return sorted(drawn, key=lambda pair: -abs(pair.measured or 0))


def read_relations(sources: Sources) -> Relations | None:
    """The run's graph, or ``None`` where no stage has built one.

    Refined and true weights come from ``evaluation`` where it exists, else from the artifacts that
    first held them, and are read in the order of the measured graph's names.
    """
    evaluated = sources.json("evaluation", "evaluation.json").get("graph") or {}
    graph = sources.json("graph", "graph.json") or evaluated
    names = list(graph.get("names") or [])
    measured = matrix(graph.get("adjacency") or graph.get("estimated"))
    if not names or measured is None:
        return None
    values = {
        "measured": measured,
        "lower": matrix(graph.get("lower")),
        "upper": matrix(graph.get("upper")),
        "support": _support(graph.get("support"), len(names)),
        "refined": _refined(sources, evaluated, names),
        "truth": _truth(sources, evaluated, names),
    }
    return Relations(
        names=names,
        measured=measured,
        refined=values["refined"],
        truth=values["truth"],
        pairs=_pairs(names, values),
        measure=str(graph.get("measure", "")),
        confidence=finite(graph.get("confidence")),
        signed=bool(graph.get("signed", True)),
    )


def _pairs(names: list[str], values: Mapping[str, Matrix | None]) -> list[Relation]:
    """Every ordered pair of names with its cell of each matrix; ``None`` where there is none."""
    return [
        Relation(
            source=i,
            target=j,
            source_name=names[i],
            target_name=names[j],
            **{field: None if rows is None else rows[i][j] for field, rows in values.items()},
        )
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ]


def _refined(sources: Sources, evaluated: dict[str, Any], names: list[str]) -> Matrix | None:
    found = reordered(matrix(evaluated.get("refined")), evaluated.get("names") or [], names)
    if found is not None:
        return found
    graph = sources.json("disgraph", "graph.json")
    return reordered(matrix(graph.get("adjacency")), graph.get("names") or [], names)


def _truth(sources: Sources, evaluated: dict[str, Any], names: list[str]) -> Matrix | None:
    found = reordered(matrix(evaluated.get("truth")), evaluated.get("names") or [], names)
    if found is not None:
        return found
    dataset = sources.json("dataset", "dataset.json")
    truth = dataset.get("truth") or {}
    return reordered(matrix(truth.get("adjacency")), dataset.get("attributes") or [], names)


def _support(value: Any, num_names: int) -> Matrix | None:
    """Images behind each pair: a number for all, one per source, or one per pair."""
    if not isinstance(value, list):
        value = [value] * num_names
    rows = [row if isinstance(row, list) else [row] * num_names for row in value]
    return matrix(rows)
