"""``dataset``: a folder of images, or the synthetic world, as parquet shards of equal squares."""

import os

from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import RunConfig
from gdrl.data.prepare import prepare
from gdrl.tracking import Progress


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Draw or read the images of ``recipe.dataset``."""
    with Progress("prepare_data", unit="images") as progress:
        return prepare(
            config.recipe.dataset, out.path, progress.update, num_processes=os.cpu_count() or 1
        )
