"""CorrelationGraph: what it refuses, what it draws, and that JSON loses nothing."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from gdrl.graph import CorrelationGraph

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture
def graph() -> CorrelationGraph:
    return CorrelationGraph(
        names=("bald", "beard", "hat"),
        adjacency=np.array([[0, 0.3, 0.1], [0.2, 0, 0], [-0.5, 0.05, 0]]),
        lower=np.array([[0, 0.2, -0.1], [0.1, 0, -0.2], [-0.6, -0.1, 0]]),
        upper=np.array([[0, 0.4, 0.3], [0.3, 0, 0.2], [-0.4, 0.2, 0]]),
        support=np.full((3, 3), 100.0),
        measure="conditional_difference",
        confidence=0.9,
        signed=True,
    )


def test_edges_are_those_whose_interval_excludes_zero_strongest_first(
    graph: CorrelationGraph,
) -> None:
    drawn = [(edge.source, edge.target, edge.weight) for edge in graph.edges()]
    assert drawn == [("hat", "bald", -0.5), ("bald", "beard", 0.3), ("beard", "bald", 0.2)]
    first = graph.edges()[0]
    assert (first.lower, first.upper, first.support) == (-0.6, -0.4, 100.0)
    assert np.argwhere(graph.drawn).tolist() == [[0, 1], [1, 0], [2, 0]]
    assert graph.drawn_weights.tolist() == [[0, 0.3, 0], [0.2, 0, 0], [-0.5, 0, 0]]


def test_json_round_trip(graph: CorrelationGraph, tmp_path: Path) -> None:
    graph.save(tmp_path / "graph.json")
    again = CorrelationGraph.load(tmp_path / "graph.json")
    assert again.to_dict() == graph.to_dict()
    assert again.edges() == graph.edges()


def test_to_networkx_keeps_direction_weights_and_lonely_nodes(graph: CorrelationGraph) -> None:
    drawn = graph.to_networkx()
    assert list(drawn.nodes) == ["bald", "beard", "hat"]
    assert set(drawn.edges) == {("hat", "bald"), ("bald", "beard"), ("beard", "bald")}
    assert drawn.edges["hat", "bald"]["weight"] == -0.5
    assert drawn.graph["measure"] == "conditional_difference"


def test_arrays_are_private_and_read_only(graph: CorrelationGraph) -> None:
    learned = np.zeros((3, 3))
    refined = replace(graph, adjacency=learned)
    learned[0, 1] = 9
    assert refined.adjacency[0, 1] == 0
    with pytest.raises(ValueError, match="read-only"):
        refined.adjacency[0, 1] = 1


def test_a_refined_weight_may_leave_its_measured_interval(graph: CorrelationGraph) -> None:
    learned = graph.adjacency.copy()
    learned[0, 1] = 0.9
    assert replace(graph, adjacency=learned).adjacency[0, 1] == 0.9


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"names": ("bald", "bald", "hat")}, "must differ"),
        ({"names": ("bald", "hat")}, "for 2 names"),
        ({"adjacency": np.eye(3)}, "diagonal"),
        ({"adjacency": np.full((3, 3), np.nan)}, "not finite"),
        ({"lower": np.ones((3, 3)) - np.eye(3)}, "lower exceeds upper"),
        ({"support": np.full((3, 3), -1.0)}, "support is negative"),
        ({"confidence": 90.0}, "confidence"),
        ({"signed": False}, "negative weights"),
    ],
)
def test_nonsense_is_refused(
    graph: CorrelationGraph, change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(graph, **change)  # type: ignore[arg-type]


def test_a_matrix_that_is_not_square_is_refused(graph: CorrelationGraph) -> None:
    with pytest.raises(REFUSED):
        replace(graph, adjacency=np.zeros((3, 2)))


def test_a_missing_key_is_refused(graph: CorrelationGraph) -> None:
    stored = graph.to_dict()
    del stored["support"]
    with pytest.raises(KeyError, match="support"):
        CorrelationGraph.from_dict(stored)


def test_an_unknown_key_is_refused(graph: CorrelationGraph) -> None:
    with pytest.raises(TypeError, match="colour"):
        CorrelationGraph.from_dict({**graph.to_dict(), "colour": "red"})
