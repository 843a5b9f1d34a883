"""The adjacency as coloured cells: estimates beside the truth, on one scale."""

from dataclasses import dataclass

from gdrl.report.relations import Relations
from gdrl.report.sources import Matrix
from gdrl.report.wording import signed


@dataclass(frozen=True)
class Cell:
    """One weight: ``share`` of the scale in percent, ``sign`` picks the colour."""

    source: int
    target: int
    sign: str
    share: int
    text: str


@dataclass(frozen=True)
class Heatmap:
    """A titled matrix of cells; row i, column j is the weight of i -> j."""

    key: str
    title: str
    note: str
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Heatmaps:
    """Matrices over the same names, coloured on one scale from ``-scale`` to ``+scale``."""

    names: list[str]
    scale: float
    maps: list[Heatmap]


def draw_heatmaps(relations: Relations) -> Heatmaps:
    """Measured, refined and true weights, whichever exist."""
    shown = [
        ("measured", "Measured", "from the MLLM’s answers", relations.measured),
        ("refined", "Refined", "after joint training", relations.refined),
        ("truth", "Truth", "of the synthetic world", relations.truth),
    ]
    present = [(key, title, note, values) for key, title, note, values in shown if values]
    scale = max((_largest(values) for *_, values in present), default=0.0) or 1.0
    maps = [
        Heatmap(key, title, note, _cells(values, scale)) for key, title, note, values in present
    ]
    return Heatmaps(relations.names, scale, maps)


def _largest(values: Matrix) -> float:
    """The largest magnitude off the diagonal."""
    return max(
        (abs(value or 0) for i, row in enumerate(values) for j, value in enumerate(row) if i != j),
        default=0.0,
    )


def _cells(values: Matrix, scale: float) -> list[list[Cell]]:
    return [
        [_cell(i, j, value, scale) for j, value in enumerate(row)] for i, row in enumerate(values)
    ]


def _cell(i: int, j: int, value: float | None, scale: float) -> Cell:
    if i == j:
        return Cell(i, j, "self", 0, "")
    if value is None:
        return Cell(i, j, "unknown", 0, "unknown")
    sign = "negative" if value < 0 else "positive"
    return Cell(i, j, sign, round(100 * min(abs(value) / scale, 1)), signed(value))
