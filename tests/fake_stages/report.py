from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    loss = inputs.manifests["vae"]["metrics"]["loss"]
    (out.path / "index.html").write_text(f"{(inputs['vae'] / 'model.txt').read_text()}: {loss}")
    return {}
