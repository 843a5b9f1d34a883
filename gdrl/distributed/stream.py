"""Stream images to the MLLM and collect a row for every question, answered or not."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from numpy import ndarray

from gdrl.config import StreamScale
from gdrl.distributed.asking import Asker
from gdrl.distributed.rows import SCHEMA
from gdrl.distributed.serve import Serving
from gdrl.distributed.session import connect, quieten
from gdrl.errors import DataError, EndpointError

FIRST_IMAGES = 16
"""If no question about this many gets through, the service is down and the rest is not tried."""

IMAGES_PER_BLOCK = 32
"""What one task of the asking actor holds: progress shows, and a crash costs little."""


def score_stream(
    dataset: Path,
    ids: Int64[ndarray, " images"] | Sequence[int],
    attributes: Sequence[str],
    serving: Serving,
    scale: StreamScale,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Ask how strongly each attribute is present in each image.

    Args:
        dataset: folder of ``images-*.parquet`` with columns ``id`` and ``image`` (encoded).
        ids: the images to ask about, all different.
        attributes: the names to ask about.
        serving: who answers.
        scale: images in flight, attempts, timeout.
        progress: called with the number of images done and of all.

    Returns:
        Exactly one row per image and attribute, in the order of ``ids`` and ``attributes``, with
        the columns of :data:`~gdrl.distributed.rows.SCHEMA`; what was not answered has a status
        and a reason.

    Raises:
        EndpointError: not one question about the first images got through.
        DataError: an id is not in the dataset, or twice in ``ids``.
    """
    connect()
    wanted = np.asarray(ids, dtype=np.int64)
    if len(np.unique(wanted)) != len(wanted):
        raise DataError(f"{len(wanted)} image ids are to be asked about, but some are the same")
    blocks: list[pa.Table] = []
    num_images, reached = 0, False
    for block in _answered(_images(dataset, wanted), attributes, serving, scale):
        blocks.append(block)
        num_images += block.num_rows // len(attributes)
        reached = reached or pc.any(pc.not_equal(block.column("status"), "failed")).as_py()
        if not reached and num_images >= min(FIRST_IMAGES, len(wanted)):
            raise _unreachable(block, num_images, serving)
        if progress is not None:
            progress(num_images, len(wanted))
    return _in_order(pa.concat_tables([SCHEMA.empty_table(), *blocks]), wanted, attributes)


def _images(dataset: Path, ids: Int64[ndarray, " images"]) -> Any:
    """The wanted images as a stream of small blocks, read where Ray Data finds room."""
    import ray
    from ray.data.expressions import col

    quieten("ray.data")
    files = [str(path.resolve()) for path in sorted(dataset.glob("images-*.parquet"))]
    if not files:
        raise DataError(f"{dataset} holds no images-*.parquet")
    images = ray.data.read_parquet(files).select_columns(["id", "image"])
    chosen = images.filter(expr=col("id").is_in(ids.tolist()))
    return chosen.repartition(target_num_rows_per_block=IMAGES_PER_BLOCK)


def _answered(
    images: Any, attributes: Sequence[str], serving: Serving, scale: StreamScale
) -> Iterator[pa.Table]:
    """Blocks of score rows, in the order in which they are answered."""
    from ray.data import ActorPoolStrategy

    # One actor holds all that is in flight, so the limit is one semaphore; tasks enough to fill it.
    num_tasks = 1 + -(-scale.max_in_flight // IMAGES_PER_BLOCK)
    rows = images.map_batches(
        Asker,
        fn_constructor_args=(serving, tuple(attributes), scale),
        batch_format="pyarrow",
        batch_size=None,
        num_cpus=0.1,
        compute=ActorPoolStrategy(
            size=1,
            max_tasks_in_flight_per_actor=num_tasks,
            max_concurrent_calls_per_actor=num_tasks,
        ),
    )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _in_order(
    rows: pa.Table, ids: Int64[ndarray, " images"], attributes: Sequence[str]
) -> pa.Table:
    """The rows in the order asked for; an image's rows lie together in ``rows``."""
    answered, first = np.unique(rows.column("id").to_numpy()[:: len(attributes)], return_index=True)
    missing = np.setdiff1d(ids, answered)
    if len(missing):
        raise DataError(f"{len(missing)} image ids are not in the dataset; one is {missing[0]}")
    images = first[np.searchsorted(answered, ids)]
    order = images[:, None] * len(attributes) + np.arange(len(attributes))
    return rows.take(pa.array(order.ravel()))


def _unreachable(block: pa.Table, num_images: int, serving: Serving) -> EndpointError:
    where = serving.recipe.endpoint or f"the Serve application {serving.app!r}"
    reason = block.column("reason")[0].as_py()
    return EndpointError(
        f"no question about the first {num_images} images got through to {where} "
        f"({reason}); see that it is up, raise scale.stream.timeout_seconds if it is slow, and run "
        "the same command again"
    )
