"""``report``: one self-contained page, drawn from what the other artifacts say."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.report.page import write_report


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Write ``index.html``."""
    write_report(out.path, run=config.name, artifacts=inputs, manifests=inputs.manifests)
    return {"bytes": (out.path / "index.html").stat().st_size}
