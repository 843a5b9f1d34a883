"""The Ray Data actor that asks about many images at once, and joins what is known already."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from gdrl.config import StreamScale
from gdrl.distributed.answers import AnswerCache
from gdrl.distributed.client import Ask, Busy, Client
from gdrl.distributed.rows import Reply, block_of
from gdrl.distributed.serve import Serving, client_engine, handle_of
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.questions import score_query


class Asker:
    """An async ``map_batches`` class: a table of images in, a row per image and attribute out."""

    def __init__(
        self, serving: Serving, attributes: Sequence[str], scale: StreamScale, cache: AnswerCache
    ) -> None:
        self._serving = serving
        self._attributes = tuple(attributes)
        self._in_flight = asyncio.Semaphore(scale.max_in_flight)
        self._client = Client(_connection(serving, scale.max_in_flight), scale)
        self._cache, self._known = cache, cache.known()

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Columns ``id`` and ``image`` (encoded) in; those of ``BLOCK`` out."""
        ids = batch.column("id").to_pylist()
        queries = [
            [score_query(image, attribute) for attribute in self._attributes]
            for image in batch.column("image").to_pylist()
        ]
        keys = [[self._cache.key(query) for query in row] for row in queries]
        replies = await asyncio.gather(*map(self._reply, ids, queries, keys))
        return block_of(ids, keys, replies, self._attributes, self._serving)

    async def _reply(self, image: int, queries: list[Query], keys: list[bytes]) -> Reply:
        known = [self._known.get(key) for key in keys]
        unknown = [query for query, answer in zip(queries, known, strict=True) if answer is None]
        if not unknown:
            return Reply(tuple(filter(None, known)), (0,) * len(known), 0.0)
        async with self._in_flight:
            asked = await self._client.reply(image, unknown)
        answers, attempts = iter(asked.answers), iter(asked.attempts)
        return Reply(
            tuple(next(answers) if answer is None else answer for answer in known),
            tuple(next(attempts) if answer is None else 0 for answer in known),
            asked.latency_seconds,
            asked.gave_up,
        )


def _connection(serving: Serving, max_in_flight: int) -> Ask:
    """Ask the deployment by its handle, or an HTTP engine of this actor's own in threads."""
    if serving.app:
        return _deployment(serving.app)
    engine = client_engine(serving.recipe, serving.open_engine)
    threads = ThreadPoolExecutor(max_in_flight)

    async def ask_engine(queries: Sequence[Query]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, engine.answer, queries)

    return ask_engine


def _deployment(app: str) -> Ask:
    from ray.serve.exceptions import BackPressureError

    handle = handle_of(app)

    async def ask(queries: Sequence[Query]) -> list[Answer]:
        try:
            answers: list[Answer] = await handle.answer.remote(queries)
        except BackPressureError as error:
            raise Busy(str(error)) from error
        return answers

    return ask
