"""``recipe.scores.seed`` 13 fails as a person's mistake does, 14 as a defect does."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.errors import EndpointError


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    if config.recipe.scores.seed == 13:
        raise EndpointError("nobody answers at http://localhost:1; start the server")
    if config.recipe.scores.seed == 14:
        raise KeyError("a defect")
    (out.path / "scores.txt").write_text((inputs["dataset"] / "shards/images.txt").read_text())
    (out.path / "scores.json").write_text('{"answers": "mllm-cache/fake/0/1"}')
    return {"num_questions": 3}
