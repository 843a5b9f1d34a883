"""``vae``: the unsupervised β-VAE, trained on Ray Train workers."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.distributed.train import fit


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Train on the dataset's training split."""
    return fit(
        "gdrl.training.vae:train",
        name="train_vae",
        recipe=config.recipe.vae,
        inputs=inputs.sources,
        scale=config.scale.vae,
        storage=out.training,
        out=out.path,
        tracking=config.tracking,
    )
