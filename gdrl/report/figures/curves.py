"""Training curves: one small panel per scalar, each on its own scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gdrl.report.sources import finite
from gdrl.report.wording import compact, readable

WIDTH, HEIGHT = 300.0, 120.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 20.0
MAX_POINTS = 240
LOG_RATIO = 30.0
"""A positive curve that spans more than this factor is drawn on a logarithmic scale."""
FROM_ZERO = {"images_per_second"}
"""Rates are read against zero; losses have no such floor."""
NOT_CURVES = {"step", "seconds", "epoch", "rank", "time"}


@dataclass(frozen=True)
class Curve:
    """One scalar over steps, as an SVG polyline with the labels of its ends."""

    name: str
    points: str
    low: str
    high: str
    last: str
    last_x: float
    last_y: float
    first_step: str
    last_step: str
    logarithmic: bool


def draw_curves(rows: Sequence[dict[str, Any]]) -> list[Curve]:
    """A curve for every scalar of a ``metrics.jsonl``, in the order in which they first appear."""
    names = list(dict.fromkeys(name for row in rows for name in row if name not in NOT_CURVES))
    names.sort(key=lambda name: (name != "loss", name == "images_per_second"))
    found = (_series(rows, name) for name in names)
    return [
        _curve(name, series) for name, series in zip(names, found, strict=True) if len(series) >= 2
    ]


def _series(rows: Sequence[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    series = []
    for position, row in enumerate(rows):
        value, step = finite(row.get(name)), finite(row.get("step", position))
        if value is not None and step is not None:
            series.append((step, value))
    stride = max(1, math.ceil(len(series) / MAX_POINTS))
    return series[::-1][::stride][::-1]  # the last point always stays


def _curve(name: str, series: list[tuple[float, float]]) -> Curve:
    steps, values = [step for step, _ in series], [value for _, value in series]
    low, high = min(values), max(values)
    if name in FROM_ZERO:
        low = min(low, 0.0)
    logarithmic = low > 0 and high / low > LOG_RATIO
    xs = [_scaled(step, steps[0], steps[-1], LEFT, WIDTH - RIGHT) for step in steps]
    transform = math.log if logarithmic else float
    ys = [
        _scaled(transform(value), transform(low), transform(high), HEIGHT - BOTTOM, TOP)
        for value in values
    ]
    return Curve(
        name=readable(name),
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True)),
        low=compact(low),
        high=compact(high),
        last=compact(values[-1]),
        last_x=round(xs[-1], 1),
        last_y=round(ys[-1], 1),
        first_step=compact(steps[0]),
        last_step=compact(steps[-1]),
        logarithmic=logarithmic,
    )


def _scaled(value: float, low: float, high: float, start: float, end: float) -> float:
    """``value`` moved from [low, high] to [start, end]; the middle where the range is empty."""
    if high == low:
        return (start + end) / 2
    return start + (value - low) / (high - low) * (end - start)
