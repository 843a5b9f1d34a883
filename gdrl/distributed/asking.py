"""The Ray Data actor that asks about many images at once, and joins what is known already."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from gdrl.config import StreamScale
from gdrl.distributed.answers import AnswerCache
from gdrl.distributed.client import Ask, Busy, Client
from gdrl.distributed.reference import resolve
from gdrl.distributed.rows import Reply, block_of
from gdrl.distributed.serve import Serving, handle_of
from gdrl.mllm.engine import Answer, Engine, Query
from gdrl.mllm.questions import score_query


class Asker:
    """An async ``map_batches`` class: a table of images in, a row per image and attribute out."""

    def __init__(
        self, serving: Serving, attributes: Sequence[str], scale: StreamScale, cache: AnswerCache
    ) -> None:
        self._serving = serving
        self._attributes = tuple(attributes)
        self._images_per_request = min(serving.images_per_request, scale.max_in_flight)
        num_requests = scale.max_in_flight // self._images_per_request
        self._in_flight = asyncio.Semaphore(num_requests)
        self._cache, self._known = cache, cache.known()
        ask = _connection(serving, scale, num_requests)
        self._client = Client(ask, scale, ever_answered=len(self._known) > 0)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Columns ``id`` and ``image`` (encoded) in; those of ``BLOCK`` out."""
        ids = batch.column("id").to_pylist()
        queries = [
            [score_query(image, attribute) for attribute in self._attributes]
            for image in batch.column("image").to_pylist()
        ]
        keys = [[self._cache.key(query) for query in row] for row in queries]
        known = [[self._known.get(key) for key in row] for row in keys]
        unknown = {
            image: [query for query, answer in zip(*rows, strict=True) if answer is None]
            for image, *rows in zip(ids, queries, known, strict=True)
        }
        asked = await self._ask({image: row for image, row in unknown.items() if row})
        replies = [_joined(row, asked.get(id_)) for id_, row in zip(ids, known, strict=True)]
        return block_of(ids, keys, replies, self._attributes, self._serving)

    async def _ask(self, queries: dict[int, list[Query]]) -> dict[int, Reply]:
        images, size = list(queries), self._images_per_request
        requests = [images[start : start + size] for start in range(0, len(images), size)]

        async def request(images: list[int]) -> dict[int, Reply]:
            async with self._in_flight:
                return await self._client.replies({image: queries[image] for image in images})

        replies = await asyncio.gather(*map(request, requests))
        return {image: reply for some in replies for image, reply in some.items()}


def _joined(known: Sequence[Answer | None], asked: Reply | None) -> Reply:
    """What was known of an image, and in the gaps what was asked."""
    if asked is None:
        return Reply(tuple(filter(None, known)), (0,) * len(known), 0.0)
    answers, attempts = iter(asked.answers), iter(asked.attempts)
    return Reply(
        tuple(next(answers) if answer is None else answer for answer in known),
        tuple(next(attempts) if answer is None else 0 for answer in known),
        asked.latency_seconds,
        asked.gave_up,
    )


def _connection(serving: Serving, scale: StreamScale, num_requests: int) -> Ask:
    """Ask the deployment by its handle, or an HTTP engine of this actor's own in threads.

    The engine keeps the time of each of its requests itself: a thread cannot be called off.
    """
    if serving.app:
        return _deployment(serving.app, scale.timeout_seconds)
    engine: Engine = resolve(serving.open_engine)(
        serving.recipe, batch_size=num_requests, timeout_seconds=scale.timeout_seconds
    )
    threads = ThreadPoolExecutor(num_requests)

    async def ask_engine(queries: Sequence[Query]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, engine.answer, queries)

    return ask_engine


def _deployment(app: str, timeout_seconds: float) -> Ask:
    from ray.serve.exceptions import BackPressureError

    handle = handle_of(app)

    async def ask(queries: Sequence[Query]) -> list[Answer]:
        try:
            answers: list[Answer] = await asyncio.wait_for(
                handle.answer.remote(queries), timeout_seconds
            )
        except BackPressureError as error:
            raise Busy(str(error)) from error
        return answers

    return ask
