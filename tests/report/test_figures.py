"""Geometry of the drawings: what stands where, and on which scale."""

import math
import re
from collections.abc import Callable

import pytest

from gdrl.report.figures.curves import draw_curves
from gdrl.report.figures.graph_drawing import NODE_RADIUS, draw_graph
from gdrl.report.figures.heatmap import draw_heatmaps
from gdrl.report.figures.layout import ring_order
from gdrl.report.figures.timeline import draw_timeline
from gdrl.report.relations import read_relations
from gdrl.report.sources import Sources, reordered
from gdrl.report.wording import duration, number, percent, signed, words
from tests.report.conftest import Run


def test_linked_nodes_become_neighbours_on_the_ring() -> None:
    weights = [[0.0] * 8 for _ in range(8)]
    for i, j in [(0, 4), (4, 1), (1, 5), (5, 2), (2, 6), (6, 3), (3, 7)]:
        weights[i][j] = 0.5
    order = ring_order(weights)
    steps = [abs(order.index(i) - order.index(j)) for i, j in [(0, 4), (1, 5), (2, 6), (3, 7)]]
    assert sorted(order) == list(range(8))
    assert all(min(step, 8 - step) <= 2 for step in steps)


def test_an_arrow_ends_at_its_target_and_both_ways_part(run: Run) -> None:
    relations = read_relations(Sources(run.artifacts, run.manifests))
    assert relations is not None
    drawing = draw_graph(relations, matched={"bald"})
    nodes = {node.index: node for node in drawing.nodes}
    edges = {(edge.source, edge.target): edge for edge in drawing.layers[0].edges}
    forth, back = edges[0, 1], edges[1, 0]
    x, y = map(float, re.findall(r"[-\d.]+", forth.head)[:2])
    distance = math.hypot(x - nodes[1].x, y - nodes[1].y)
    assert distance == pytest.approx(NODE_RADIUS + 3, abs=0.3)
    assert forth.curve.split("Q")[1].split()[:2] != back.curve.split("Q")[1].split()[:2]
    assert forth.width > back.width
    assert [node.name for node in drawing.nodes if node.matched] == ["bald"]


def test_the_first_threshold_shows_some_arrows_but_not_too_many(
    make_run: Callable[..., Run],
) -> None:
    run = make_run([f"attribute {i}" for i in range(8)])
    relations = read_relations(Sources(run.artifacts, run.manifests))
    assert relations is not None
    drawing = draw_graph(relations, matched=set())
    shown = [e for e in drawing.layers[0].edges if abs(e.weight) >= drawing.threshold]
    assert 0 < len(shown) <= 24


def test_an_interval_that_holds_zero_draws_no_edge(run: Run) -> None:
    relations = read_relations(Sources(run.artifacts, run.manifests))
    assert relations is not None
    drawn = {(edge.source, edge.target) for edge in draw_graph(relations, set()).layers[0].edges}
    held = [p for p in relations.pairs if p.lower is not None and p.lower <= 0 <= (p.upper or 0)]
    assert held
    assert not drawn & {(pair.source, pair.target) for pair in held}


def test_matrices_share_one_scale(run: Run) -> None:
    relations = read_relations(Sources(run.artifacts, run.manifests))
    assert relations is not None
    found = draw_heatmaps(relations)
    cells = [cell for map_ in found.maps for row in map_.rows for cell in row]
    assert max(cell.share for cell in cells) == 100
    assert sum(cell.share == 100 for cell in cells) == 1
    assert {cell.sign for cell in cells} == {"self", "positive", "negative"}


def test_a_curve_that_spans_decades_is_drawn_on_a_log_scale() -> None:
    rows = [{"step": step, "loss": 1000.0 / (step + 1), "kl": 3.0} for step in range(500)]
    loss, kl = draw_curves(rows)
    assert loss.logarithmic
    assert not kl.logarithmic
    assert len(loss.points.split()) <= 240
    assert loss.last == "2"


def test_a_curve_skips_what_is_not_a_number() -> None:
    rows = [{"step": 1, "loss": 2.0, "note": "x"}, {"step": 2}, {"step": 3, "loss": float("nan")}]
    assert draw_curves(rows) == []


def test_stages_that_overlap_do_so_in_the_timeline() -> None:
    manifests = {
        "vae": {"started": 1000.0, "seconds": 100.0},
        "scores": {"started": 1000.0, "seconds": 50.0},
        "graph": {"started": 90_000.0, "seconds": 100.0},
        "borrowed": {"seconds": 5.0},
    }
    timeline = draw_timeline(manifests)
    bars = {bar.name: bar for bar in timeline.bars}
    assert bars["vae"].left == bars["scores"].left == 0
    assert bars["vae"].width == pytest.approx(50)
    assert bars["graph"].left == pytest.approx(50)  # the day in between is cut out
    assert timeline.cuts == [pytest.approx(50)]
    assert bars["borrowed"].left is None


def test_a_matrix_is_read_in_the_order_of_its_names() -> None:
    assert reordered([[0.0, 1.0], [2.0, 0.0]], ["a", "b"], ["b", "a"]) == [[0.0, 2.0], [1.0, 0.0]]
    assert reordered([[0.0, 1.0], [2.0, 0.0]], ["a", "b"], ["b", "c"]) is None


def test_numbers_read_as_a_person_writes_them() -> None:
    assert number(-0.416) == "\N{MINUS SIGN}0.42"
    assert number(-0.001) == "0.00"
    assert signed(0.416) == "+0.42"
    assert percent(0.998).startswith("99.8")
    assert percent(1.0).startswith("100")
    assert duration(3720).replace("\N{NARROW NO-BREAK SPACE}", " ") == "1 h 2 min"
    assert words(["a", "b", "c"]) == "a, b and c"
