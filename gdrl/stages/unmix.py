"""``components``: the image encoder's features unmixed by linear ICA, with a decoder of them."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.distributed.train import fit


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Unmix on the dataset's training split, and train the decoder there."""
    return fit(
        "gdrl.training.components:train",
        name="unmix",
        recipe=config.recipe.unmixing,
        inputs=inputs.sources,
        scale=config.scale.unmixing,
        storage=out.training,
        out=out.path,
        tracking=config.tracking,
    )
