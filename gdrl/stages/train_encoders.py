"""``encoders``: one of images, one of the MLLM's answers, trained to find each other."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.distributed.train import fit


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Train on the scored images."""
    return fit(
        "gdrl.training.encoders:train",
        name="train_encoders",
        recipe=config.recipe.encoders,
        inputs=inputs.sources,
        scale=config.scale.encoders,
        storage=out.training,
        out=out.path,
        tracking=config.tracking,
    )
