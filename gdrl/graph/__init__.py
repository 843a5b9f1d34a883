"""Scores to associations to a :class:`CorrelationGraph`; latents to attribute names.

``adjacency[i, j]`` is the weight of the edge i -> j, here and everywhere else.
"""

from gdrl.graph.association import (
    MEASURES,
    Measure,
    association,
    conditional_difference,
    somers_d,
    spearman,
)
from gdrl.graph.build import build_graph
from gdrl.graph.correlation_graph import CorrelationGraph, Edge
from gdrl.graph.matching import MatchedLatent, Matching, auroc, match

__all__ = [
    "MEASURES",
    "CorrelationGraph",
    "Edge",
    "MatchedLatent",
    "Matching",
    "Measure",
    "association",
    "auroc",
    "build_graph",
    "conditional_difference",
    "match",
    "somers_d",
    "spearman",
]
