"""When each stage ran, as bars on one clock from which idle time is cut out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gdrl.report.sources import finite
from gdrl.report.wording import duration

LONGEST_IDLE_SECONDS = 60.0
"""A pause longer than this, as between two sittings, is drawn as a cut."""


@dataclass(frozen=True)
class Bar:
    """One stage, in percent of the timeline; ``left`` is ``None`` where the start is unknown."""

    name: str
    left: float | None
    width: float
    seconds: str


@dataclass(frozen=True)
class Timeline:
    """All stages in the order in which they began."""

    bars: list[Bar]
    cuts: list[float]
    """Where idle time was cut out, in percent."""
    length: str
    """Busy time from the first start to the last end."""


def draw_timeline(manifests: Mapping[str, Mapping[str, Any]]) -> Timeline:
    """Bars from the manifests' ``started`` (seconds since 1970) and ``seconds``."""
    spans = {}
    for name, manifest in manifests.items():
        start, seconds = finite(manifest.get("started")), finite(manifest.get("seconds"))
        if start is not None and seconds is not None:
            spans[name] = (start, start + seconds)
    pauses = _pauses(sorted(spans.values()))

    def clock(moment: float) -> float:
        return moment - sum(end - start for start, end in pauses if end <= moment)

    begin = min((clock(start) for start, _ in spans.values()), default=0.0)
    total = max((clock(end) for _, end in spans.values()), default=0.0) - begin or 1.0
    ordered = sorted(manifests, key=lambda name: spans.get(name, (float("inf"), 0)))
    bars = [_bar(name, manifests[name], spans.get(name), clock, begin, total) for name in ordered]
    cuts = [100 * (clock(end) - begin) / total for _, end in pauses]
    return Timeline(bars, cuts, duration(total) if spans else "–")


def _bar(
    name: str,
    manifest: Mapping[str, Any],
    span: tuple[float, float] | None,
    clock: Callable[[float], float],
    begin: float,
    total: float,
) -> Bar:
    seconds = duration(finite(manifest.get("seconds")))
    if span is None:
        return Bar(name, None, 0.0, seconds)
    left, right = clock(span[0]) - begin, clock(span[1]) - begin
    return Bar(name, 100 * left / total, 100 * (right - left) / total, seconds)


def _pauses(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Long stretches in which no stage ran."""
    pauses = []
    busy_until = spans[0][1] if spans else 0.0
    for start, end in spans:
        if start - busy_until > LONGEST_IDLE_SECONDS:
            pauses.append((busy_until, start))
        busy_until = max(busy_until, end)
    return pauses
