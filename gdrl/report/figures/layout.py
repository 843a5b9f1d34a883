"""Where the nodes of the graph stand: on a ring, ordered so that strong edges are short."""

import math
from itertools import combinations

from gdrl.report.sources import Matrix

MAX_SWEEPS = 20
"""Sweeps of pairwise swaps; twelve nodes settle after three or four."""


def ring_order(weights: Matrix) -> list[int]:
    """An order of the nodes around a ring with little weighted edge length, hence few crossings.

    Starts from the given order and swaps pairs while that shortens the sum of ``|weight|`` times
    the distance along the ring: deterministic, and good enough for the tens of nodes of a page.
    """
    num_nodes = len(weights)
    pull = [
        [
            abs(weights[i][j] or 0) + abs(weights[j][i] or 0) if i != j else 0.0
            for j in range(num_nodes)
        ]
        for i in range(num_nodes)
    ]
    place = list(range(num_nodes))  # place[node] = position on the ring

    def reach(node: int) -> float:
        return sum(
            pull[node][other] * _distance(place[node], place[other], num_nodes)
            for other in range(num_nodes)
        )

    for _ in range(MAX_SWEEPS):
        improved = False
        for a, b in combinations(range(num_nodes), 2):
            before = reach(a) + reach(b)
            place[a], place[b] = place[b], place[a]
            if reach(a) + reach(b) < before - 1e-9:
                improved = True
            else:
                place[a], place[b] = place[b], place[a]
        if not improved:
            break
    return sorted(range(num_nodes), key=lambda node: place[node])


def ring_points(
    order: list[int], centre: tuple[float, float], radius: float
) -> dict[int, tuple[float, float]]:
    """Node -> point, the first of ``order`` at the top and the rest clockwise."""
    step = 2 * math.pi / max(len(order), 1)
    return {
        node: (
            centre[0] + radius * math.sin(step * position),
            centre[1] - radius * math.cos(step * position),
        )
        for position, node in enumerate(order)
    }


def _distance(a: int, b: int, num_nodes: int) -> int:
    apart = abs(a - b)
    return min(apart, num_nodes - apart)
