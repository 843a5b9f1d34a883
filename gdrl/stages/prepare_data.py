"""``dataset``: a source of images, or a synthetic world, as parquet shards of equal squares."""

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.data.prepare import prepare
from gdrl.distributed.reading import in_order
from gdrl.tracking import Progress


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Draw or read the images of ``recipe.dataset``."""
    with Progress("prepare_data", unit="images") as progress:
        return prepare(
            config.recipe.dataset, out.path, progress.update, s3=config.s3, in_order=in_order
        )
