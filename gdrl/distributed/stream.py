"""Stream images to the MLLM: a row for every question, answered or not, and none asked twice."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64
from numpy import ndarray

from gdrl.artifacts import Source, Storage
from gdrl.config import StreamScale
from gdrl.distributed.answers import AnswerCache, Parts
from gdrl.distributed.asking import Asker
from gdrl.distributed.images import IMAGES_PER_BLOCK, image_blocks
from gdrl.distributed.remote import this_node
from gdrl.distributed.rows import SCHEMA
from gdrl.distributed.serve import Serving
from gdrl.distributed.session import connect
from gdrl.errors import DataError, EndpointError


def score_stream(
    dataset: Source | Path,
    ids: Int64[ndarray, " images"] | Sequence[int],
    attributes: Sequence[str],
    serving: Serving,
    scale: StreamScale,
    storage: Storage,
) -> Iterator[pa.Table]:
    """Ask how strongly each attribute is present in each image; memory holds what is in flight.

    Args:
        dataset: a finished artifact, or a folder, of ``images-*.parquet`` with columns ``id`` and
            ``image`` (encoded).
        ids: the images to ask about, all different.
        attributes: the names to ask about.
        serving: who answers.
        scale: images in flight, attempts, patience, images per part.
        storage: the root below which answers are kept. What is known there is not asked.

    Yields:
        Tables of a few images, as they are answered: exactly one row per image and attribute, an
        image's rows together in the order of ``attributes``, with the columns of
        :data:`~gdrl.distributed.rows.SCHEMA`. Answers are committed by the part, and when the
        stream ends, in whatever way short of a kill.

    Raises:
        EndpointError: the service is down for longer than ``scale.outage_seconds``, or never
            answered. All answers that came back are kept.
        DataError: an id is not in the dataset, or twice in ``ids``.
    """
    connect()
    missing = np.unique(np.asarray(ids, dtype=np.int64))
    if len(missing) != len(ids):
        raise DataError(f"{len(ids)} image ids are to be asked about, but some are the same")
    cache = AnswerCache(storage, serving.model, serving.revision)
    parts = Parts(cache, scale.images_per_part)
    try:
        blocks = _answered(dataset, missing, attributes, serving, scale, cache)
        for block in blocks:
            parts.add(block)
            if pc.any(block.column("gave_up")).as_py():
                on_their_way = islice(blocks, _num_tasks(serving, scale))
                for answered_before in on_their_way:
                    parts.add(answered_before)
                raise _unreachable(block, serving, scale)
            missing = np.setdiff1d(missing, block.column("id").to_numpy(), assume_unique=False)
            yield block.select(SCHEMA.names)
    finally:
        parts.flush()
    if len(missing):
        raise DataError(f"{len(missing)} image ids are not in the dataset; one is {missing[0]}")


def _images_per_block(serving: Serving) -> int:
    """Whole requests, so that none travels half full."""
    return -(-IMAGES_PER_BLOCK // serving.images_per_request) * serving.images_per_request


def _num_tasks(serving: Serving, scale: StreamScale) -> int:
    """Blocks at the asking actor: enough to fill what may be in flight."""
    return 1 + -(-scale.max_in_flight // _images_per_block(serving))


def _answered(
    dataset: Source | Path,
    ids: Int64[ndarray, " images"],
    attributes: Sequence[str],
    serving: Serving,
    scale: StreamScale,
    cache: AnswerCache,
) -> Iterator[pa.Table]:
    """Blocks of rows, in the order in which they are answered."""
    from ray.data import ActorPoolStrategy

    # One actor holds all that is in flight, so limit and circuit breaker are one.
    num_tasks, place = _num_tasks(serving, scale), _place(serving)
    per_block, cpus = _images_per_block(serving), place["num_cpus"]
    rows = image_blocks(dataset, ids, per_block, cpus_after=cpus).map_batches(
        Asker,
        fn_constructor_args=(serving, tuple(attributes), scale, cache),
        batch_format="pyarrow",
        batch_size=None,
        **place,
        compute=ActorPoolStrategy(
            size=1,
            max_tasks_in_flight_per_actor=num_tasks,
            max_concurrent_calls_per_actor=num_tasks,
        ),
    )
    yield from rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _place(serving: Serving) -> dict[str, Any]:
    """Where the actor runs that asks: near an endpoint's address and key, which are the driver's.

    A server may listen on the driver's loopback alone, and a head node may have no CPU to give.
    """
    if serving.app:
        return {"num_cpus": 0.1}
    return {"num_cpus": 0.0, "label_selector": this_node()}


def _unreachable(block: pa.Table, serving: Serving, scale: StreamScale) -> EndpointError:
    where = serving.recipe.endpoint or f"the Serve application {serving.app!r}"
    failed = block.filter(pc.equal(block.column("status"), "failed"))
    reason = failed.column("reason")[0].as_py()
    return EndpointError(
        f"questions no longer get through to {where} ({reason}); see that it is up, raise "
        "scale.stream.timeout_seconds if it is slow or scale.stream.outage_seconds "
        f"({scale.outage_seconds:g}) to wait longer for it, and run the same command again: what "
        "was answered is kept"
    )
