"""How many scored images GEM needs, drawn from what benchmarks/gem.py found.

    python benchmarks/gem_figure.py --records benchmarks/results/gem.jsonl --out docs/scored.svg

The mean over seeds as a line, each seed as a dot. 0 scored images is the unsupervised row.
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from gem_tables import Record  # type: ignore[import-not-found]

NUMBERS = {
    "gem_unsupervised": 0,
    "scored_50": 50,
    "scored_150": 150,
    "scored_500": 500,
    "gem_guided": 1_500,
    "scored_5000": 5_000,
}
DRAWN = ("faces", 2_000)
"""World and steps before the joint stage."""
# Column, label, colour: told apart by most colour-blind readers (Okabe & Ito 2008).
SERIES = (
    ("matched_95", "attributes with a latent of their own", "#0072b2"),
    ("dci_d", "DCI-D", "#009e73"),
    ("mig", "MIG", "#d55e00"),
    ("pair_tied", "entanglement of the correlated pair", "#555555"),
)
LEFT, RIGHT, TOP, BOTTOM = 44, 470, 16, 276
Values = Mapping[int, Sequence[float]]


def values_of(records: Iterable[Record], column: str) -> Values:
    """By number of scored images, the column's value in each seed."""
    found: dict[int, dict[int, float]] = {}
    for record in records:
        table, row = record["table"], record["variant"]
        drawn = record["world"], record["task"]["budget"]["vae_steps"]
        if table in ("main", "scored") and row in NUMBERS and drawn == DRAWN:
            of_seed = found.setdefault(NUMBERS[row], {})
            of_seed[record["seed"]] = record["rows"][row][column]
    return {number: list(found[number].values()) for number in sorted(found)}


def draw(records: Sequence[Record]) -> str:
    """The figure as SVG; columns stand evenly, for their numbers are a decade apart."""
    numbers = sorted({n for column, *_ in SERIES for n in values_of(records, column)})
    step = (RIGHT - LEFT - 40) / max(len(numbers) - 1, 1)
    x_of = {number: LEFT + 20 + step * k for k, number in enumerate(numbers)}
    page = 'viewBox="0 0 740 320" font-family="sans-serif" font-size="12"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {page}>']
    parts.append('<rect width="740" height="320" fill="#fff"/>')
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = _y(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for number, x in x_of.items():
        parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{number:,}</text>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{BOTTOM + 38}" text-anchor="middle">scored images</text>')
    for k, (column, label, colour) in enumerate(SERIES):
        values = values_of(records, column)
        means = [f"{x_of[n]:.1f},{_y(statistics.fmean(v)):.1f}" for n, v in values.items()]
        line = f'points="{" ".join(means)}" fill="none" stroke="{colour}" stroke-width="2"'
        parts.append(f"<polyline {line}/>")
        parts += [
            f'<circle cx="{x_of[n]:.1f}" cy="{_y(one):.1f}" r="3" fill="{colour}"/>'
            for n, of_seeds in values.items()
            for one in of_seeds
        ]
        y = TOP + 40 + 24 * k
        parts.append(f'<path d="M{RIGHT + 12} {y}h20" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{RIGHT + 40}" y="{y + 4}" fill="{colour}">{label}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _y(value: float) -> float:
    return BOTTOM - value * (BOTTOM - TOP)


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=Path, default=Path("benchmarks/results/gem.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("docs/scored.svg"))
    options = parser.parse_args()
    if not options.records.is_file():
        raise SystemExit(f"--records {options.records} is not there; benchmarks/gem.py writes it")
    records = [json.loads(line) for line in options.records.read_text().splitlines()]
    options.out.write_text(draw(records))
    print(options.out)


if __name__ == "__main__":
    main()
