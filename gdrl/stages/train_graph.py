"""``disgraph``: encoder, graph and relation-aware decoder, trained together from the β-VAE on."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.distributed.train import fit


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Fine-tune from ``vae`` with the graph as prior and the scores as free annotations."""
    return fit(
        "gdrl.training.disgraph:train",
        name="train_graph",
        recipe=config.recipe.disgraph,
        inputs=inputs.sources,
        scale=config.scale.disgraph,
        storage=out.training,
        out=out.path,
        tracking=config.tracking,
    )
