"""The graph as points and curves: what the template draws, with nothing left to compute."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from gdrl.report.figures.layout import ring_order, ring_points
from gdrl.report.relations import Relation, Relations

Point = tuple[float, float]

WIDTH, HEIGHT = 720.0, 590.0
RADIUS = 225.0
NODE_RADIUS = 13.0
LABEL_GAP = 11.0
BEND = 0.13
"""How far an edge bends to its own left, as a share of its length, so that i->j and j->i part."""
INWARD = 0.22
"""How far edges bend towards the centre, so that neighbours' edges keep clear of the labels."""
FAINTEST = 0.02
"""Weights below this are not drawn in any layer."""


@dataclass(frozen=True)
class Node:
    """A node and its label, wrapped to at most two lines."""

    index: int
    name: str
    x: float
    y: float
    label_x: float
    label_y: float
    anchor: str
    lines: list[str]
    matched: bool


@dataclass(frozen=True)
class Edge:
    """A directed edge: its curve, its arrow head, and the line of text it shows."""

    source: int
    target: int
    source_name: str
    target_name: str
    weight: float
    width: float
    curve: str
    head: str
    text: str

    @property
    def sign(self) -> str:
        """``positive`` or ``negative``."""
        return "positive" if self.weight > 0 else "negative"


@dataclass(frozen=True)
class Layer:
    """One set of weights over the same nodes: measured, refined or true."""

    key: str
    title: str
    edges: list[Edge]


@dataclass(frozen=True)
class GraphDrawing:
    """Everything that the graph's template needs."""

    width: float
    height: float
    nodes: list[Node]
    layers: list[Layer]
    threshold: float
    """Where the slider starts: low enough to show the graph, high enough to read it."""


def draw_graph(relations: Relations, matched: set[str]) -> GraphDrawing:
    """Lay the graph out; ``matched`` names the attributes that have a latent of their own."""
    order = ring_order(relations.measured)
    points = ring_points(order, (WIDTH / 2, HEIGHT / 2), RADIUS)
    layers = [_layer("measured", "Measured", relations, points, _measured)]
    if relations.refined is not None:
        layers.append(_layer("refined", "Refined", relations, points, lambda pair: pair.refined))
    if relations.truth is not None:
        layers.append(_layer("truth", "Truth", relations, points, lambda pair: pair.truth))
    nodes = [_node(i, relations.names[i], points[i], matched) for i in order]
    threshold = _readable_threshold(layers[0].edges, len(nodes))
    return GraphDrawing(WIDTH, HEIGHT, nodes, layers, threshold)


def _measured(pair: Relation) -> float | None:
    return pair.measured if pair.stands_out else None


def _layer(
    key: str,
    title: str,
    relations: Relations,
    points: dict[int, Point],
    weight_of: Callable[[Relation], float | None],
) -> Layer:
    edges = [
        _edge(pair, weight, points, relations.confidence)
        for pair in relations.pairs
        if (weight := weight_of(pair)) is not None and abs(weight) >= FAINTEST
    ]
    return Layer(key, title, sorted(edges, key=lambda edge: abs(edge.weight)))


def _edge(
    pair: Relation, weight: float, points: dict[int, Point], confidence: float | None
) -> Edge:
    start, end = points[pair.source], points[pair.target]
    control = _control(start, end)
    width = 1.0 + 7.0 * min(abs(weight), 1.0)
    leaving, arriving = _unit(start, control), _unit(control, end)
    tip = _along(end, arriving, -(NODE_RADIUS + 3))
    length, half = 8 + 1.1 * width, 4 + 0.75 * width
    base = _along(tip, arriving, -length)
    side = (-arriving[1], arriving[0])
    left, right = _along(base, side, half), _along(base, side, -half)
    begin = _along(start, leaving, NODE_RADIUS + 2)
    stop = _along(tip, arriving, -length + 1.5)
    return Edge(
        source=pair.source,
        target=pair.target,
        source_name=pair.source_name,
        target_name=pair.target_name,
        weight=weight,
        width=round(width, 2),
        curve=f"M{_xy(begin)} Q{_xy(control)} {_xy(stop)}",
        head=f"M{_xy(tip)} L{_xy(left)} L{_xy(right)} Z",
        text=pair.text(confidence),
    )


def _node(index: int, name: str, point: Point, matched: set[str]) -> Node:
    dx, dy = _unit((WIDTH / 2, HEIGHT / 2), point)
    label = _along(point, (dx, dy), NODE_RADIUS + LABEL_GAP)
    anchor = "middle" if abs(dx) < 0.25 else "start" if dx > 0 else "end"
    return Node(
        index=index,
        name=name,
        x=round(point[0], 1),
        y=round(point[1], 1),
        label_x=round(label[0], 1),
        label_y=round(label[1] + 8 * dy, 1),
        anchor=anchor,
        lines=_wrapped(name),
        matched=name in matched,
    )


def _readable_threshold(edges: list[Edge], num_nodes: int) -> float:
    """The first multiple of 0.05 from 0.1 up that leaves at most three edges per node, but some."""
    sizes = sorted((abs(edge.weight) for edge in edges), reverse=True)
    if not sizes or sizes[0] < 0.1:
        return 0.0
    for step in range(2, 20):
        if sum(size >= step / 20 for size in sizes) <= 3 * num_nodes:
            return min(step / 20, math.floor(sizes[0] * 20) / 20)
    return 0.0


def _wrapped(name: str) -> list[str]:
    """The name on one line, or on the two most equal ones where it is long."""
    parts = name.replace("_", " ").split()
    text = " ".join(parts)
    if len(text) <= 10 or len(parts) < 2:
        return [_clipped(text)]
    cuts = [(" ".join(parts[:cut]), " ".join(parts[cut:])) for cut in range(1, len(parts))]
    return [_clipped(line) for line in min(cuts, key=lambda pair: max(map(len, pair)))]


def _clipped(text: str, length: int = 16) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _control(start: Point, end: Point) -> Point:
    """Control point of the edge's quadratic curve."""
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    dx, dy = end[0] - start[0], end[1] - start[1]
    x = middle[0] + BEND * 2 * dy + INWARD * (WIDTH / 2 - middle[0])
    y = middle[1] - BEND * 2 * dx + INWARD * (HEIGHT / 2 - middle[1])
    return x, y


def _unit(start: Point, end: Point) -> Point:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    return dx / length, dy / length


def _along(point: Point, direction: Point, distance: float) -> Point:
    return point[0] + distance * direction[0], point[1] + distance * direction[1]


def _xy(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
