"""``graph``: from scores to a signed, directed, weighted graph over attributes, with intervals."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.data.scores import read_scores
from gdrl.graph import build_graph


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Build the graph by the recipe's measure, and by the paper's beside it."""
    recipe = config.recipe.graph
    scores = read_scores(inputs["scores"], recipe.reading)
    for name, measure in (("graph.json", recipe.measure), ("graph-somers_d.json", "somers_d")):
        settings = {**recipe.measurement, "measure": measure}
        graph = build_graph(scores.levels, scores.attributes, **settings)
        graph.save(out.path / name)
        if name == "graph.json":
            metrics = {"num_attributes": len(graph.names), "num_edges": len(graph.edges())}
    return metrics
