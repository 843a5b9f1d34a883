"""Features of a data set's images by a pre-trained model, through Ray Data."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from PIL import Image

from gdrl.artifacts import Source
from gdrl.config import TrainScale
from gdrl.distributed.images import image_blocks
from gdrl.distributed.reference import resolve
from gdrl.distributed.remote import resources_of
from gdrl.distributed.session import connect, require
from gdrl.errors import DataError

EXTRACTOR = "gdrl.models.image_features:ImageFeatures"
"""By name: the driver never imports torch."""


def extract_features(
    dataset: Source | Path, ids: Int64[np.ndarray, " image"], model: Path, scale: TrainScale
) -> pa.Table:
    """Columns ``id`` and ``features`` (a fixed-size list of float32), in order of id.

    Args:
        dataset: a finished artifact, or a folder of image shards.
        ids: the images wanted.
        model: a transformers directory that every node can open.
        scale: how many workers hold the model, and what each of them may use.

    Raises:
        DataError: some images are not in the data set.
        ConfigError: a worker can never fit on this machine.
    """
    from ray.data import ActorPoolStrategy

    connect()
    require(
        resources_of(scale),
        "extracting features",
        "lower threads_per_worker or resources_per_worker, or leave out use_gpu",
    )
    workers, threads = scale.num_workers, scale.threads_per_worker
    images = image_blocks(dataset, ids, readers=workers, cpus_after=float(workers * threads))
    blocks = images.map_batches(
        _Extract,
        fn_constructor_args=(model, scale),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=scale.threads_per_worker,
        num_gpus=int(scale.use_gpu),
        resources=scale.resources_per_worker,
        compute=ActorPoolStrategy(size=scale.num_workers),
    )
    # prefetch_batches = 0: what is ahead waits on the cluster, not in this process.
    found = blocks.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
    table = pa.concat_tables(found).sort_by("id")
    if missing := np.setdiff1d(ids, table.column("id").to_numpy()).tolist():
        raise DataError(f"{len(missing)} image ids are not in the dataset; one is {missing[0]}")
    return table


class _Extract:
    """The model on one worker."""

    def __init__(self, model: Path, scale: TrainScale) -> None:
        self._features = resolve(EXTRACTOR)(model, scale.use_gpu, scale.threads_per_worker)

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        if not batch.num_rows:  # a shard of which nothing was wanted
            return
        images = [_opened(image) for image in batch.column("image").to_pylist()]
        features = self._features(images)
        values = pa.array(features.ravel())
        column = pa.FixedSizeListArray.from_arrays(values, features.shape[1])
        yield pa.table({"id": batch.column("id"), "features": column})


def _opened(image: bytes) -> Any:
    return Image.open(io.BytesIO(image)).convert("RGB")
