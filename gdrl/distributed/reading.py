"""Chunks of images read by Ray Data, on whichever node has room, and put back in order."""

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa

from gdrl.data.source import Found, one_by_one
from gdrl.distributed.session import connect, quieten
from gdrl.errors import GdrlError

FEW = 4
"""So many chunks are read here: mostly they are done before a task has started (3 to 6 s)."""
BLOCK_BYTES = 4 * 2**20
"""What a task hands on at a time: about 1,000 squares."""
_ROWS = 64
_SCHEMA = pa.schema([("path", pa.string()), ("png", pa.binary()), ("reason", pa.string())])

A = TypeVar("A")


def in_order(read: Callable[[A], Iterator[Found]], chunks: Sequence[A]) -> Iterator[Found]:
    """What ``gdrl.data.source.one_by_one`` gives, by one Ray Data task a chunk.

    Tasks that are ahead wait in the object store, whose size bounds them; a task whose node is lost
    runs again. ``read`` and the chunks must pickle.

    Raises:
        GdrlError: what ``read`` raised.
    """
    if len(chunks) <= FEW:
        yield from one_by_one(read, chunks)
        return
    connect()
    from ray.exceptions import RayTaskError

    try:
        for block in _blocks(read, chunks):
            yield from (Found(**row) for row in block.to_pylist())
    except RayTaskError as error:
        if isinstance(error.cause, GdrlError):
            message, _, _ = str(error.cause).partition("\nFailed to ")  # the rest is Ray Data's
            raise type(error.cause)(message) from None
        raise


def _blocks(read: Callable[[A], Iterator[Found]], chunks: Sequence[A]) -> Iterator[pa.Table]:
    import ray.data

    quieten("ray.data")
    # Pickled here: Arrow has no type for most chunks, and Ray Data would warn of each.
    items = [{"chunk": pickle.dumps(chunk)} for chunk in chunks]
    dataset = ray.data.from_items(items, override_num_blocks=len(items))
    dataset.context.execution_options.preserve_order = True
    dataset.context.target_max_block_size = BLOCK_BYTES
    tables = dataset.map_batches(
        partial(_read_chunks, read), batch_size=None, batch_format="pyarrow"
    )
    yield from tables.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def _read_chunks(read: Callable[[Any], Iterator[Found]], chunks: Any) -> Iterator[Any]:
    for chunk in chunks.column("chunk"):
        found = read(pickle.loads(chunk.as_py()))
        while rows := [asdict(item) for item in islice(found, _ROWS)]:
            yield pa.Table.from_pylist(rows, schema=_SCHEMA)
