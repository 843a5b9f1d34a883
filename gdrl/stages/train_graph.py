"""``disgraph``: encoder, graph and relation-aware decoder, trained on from extracted factors."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.distributed.train import fit
from gdrl.pipeline import extracted_by


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Fine-tune with the graph as prior and the scores as free annotations."""
    sources = dict(inputs.sources)
    sources["extracted"] = sources.pop(extracted_by(config.recipe.extractor))
    return fit(
        "gdrl.training.disgraph:train",
        name="train_graph",
        recipe=config.recipe.disgraph,
        inputs=sources,
        scale=config.scale.disgraph,
        storage=out.training,
        out=out.path,
        tracking=config.tracking,
    )
