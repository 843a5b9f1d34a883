"""The client side of the question stream: a Ray Data actor that asks about many images at once."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from gdrl.config import StreamScale
from gdrl.distributed.rows import Reply, rows_of
from gdrl.distributed.serve import Serving, client_engine, handle_of
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.questions import score_query

FIRST_BACKOFF_SECONDS = 0.5
LONGEST_BACKOFF_SECONDS = 8.0

Ask = Callable[[Sequence[Query]], Awaitable[list[Answer]]]


class Asker:
    """An async ``map_batches`` class: a table of images in, a row per image and attribute out."""

    def __init__(self, serving: Serving, attributes: Sequence[str], scale: StreamScale) -> None:
        self._ask = _connection(serving, scale.max_in_flight)
        self._serving = serving
        self._attributes = tuple(attributes)
        self._scale = scale
        self._in_flight = asyncio.Semaphore(scale.max_in_flight)
        self._jitter = random.Random(0)

    async def __call__(self, batch: pa.Table) -> pa.Table:
        """Columns ``id`` and ``image`` (encoded) in; those of ``scores.parquet`` out."""
        images = batch.column("image").to_pylist()
        replies = await asyncio.gather(*(self._reply(image) for image in images))
        return rows_of(batch.column("id").to_pylist(), replies, self._attributes, self._serving)

    async def _reply(self, image: bytes) -> Reply:
        queries = [score_query(image, attribute) for attribute in self._attributes]
        async with self._in_flight:
            return await ask_patiently(self._ask, queries, self._scale, self._jitter)


async def ask_patiently(
    ask: Ask, queries: Sequence[Query], scale: StreamScale, jitter: random.Random
) -> Reply:
    """Ask, and ask again what failed on the way; what stays unanswered keeps its ``failed`` answer.

    Only ``failed`` is asked again: an answer that is refused or unparsable is the model's own.
    """
    started = time.monotonic()
    answers: dict[int, Answer] = {}
    pending = list(range(len(queries)))
    attempt = 0
    while pending and attempt < scale.attempts:
        if attempt:
            # Full jitter: clients that were refused together do not come back together.
            longest = FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1)
            await asyncio.sleep(jitter.uniform(0, min(longest, LONGEST_BACKOFF_SECONDS)))
        attempt += 1
        asked = [queries[position] for position in pending]
        given = await _ask_once(ask, asked, scale.timeout_seconds)
        answers.update(zip(pending, given, strict=True))
        pending = [position for position in pending if answers[position].status == "failed"]
    in_order = tuple(answers[position] for position in range(len(queries)))
    return Reply(in_order, attempt, time.monotonic() - started)


async def _ask_once(ask: Ask, queries: Sequence[Query], timeout_seconds: float) -> list[Answer]:
    """As many answers as queries; a request that was lost on the way answers ``failed`` to all."""
    try:
        answers = await asyncio.wait_for(ask(queries), timeout_seconds)
    except TimeoutError:
        reason = f"no answer within {timeout_seconds:g} s"
    except _transport_errors() as error:
        reason = _last_line(error)
    else:
        if len(answers) == len(queries):
            return answers
        reason = f"{len(answers)} answers to {len(queries)} queries"
    return [Answer("failed", reason=reason)] * len(queries)


def _transport_errors() -> tuple[type[Exception], ...]:
    """Lost replicas, an engine that raised, a full queue (all Ray's), a refused connection."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    return RayError, RayServeException, OSError


def _last_line(error: Exception) -> str:
    """A remote traceback ends in the line that matters."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]


def _connection(serving: Serving, max_in_flight: int) -> Ask:
    """Ask the deployment by its handle, or an HTTP engine of this actor's own in threads."""
    if serving.app:
        handle = handle_of(serving.app)

        async def ask_deployment(queries: Sequence[Query]) -> list[Answer]:
            answers: list[Answer] = await handle.answer.remote(queries)
            return answers

        return ask_deployment
    engine = client_engine(serving.recipe, serving.open_engine)
    threads = ThreadPoolExecutor(max_in_flight)

    async def ask_engine(queries: Sequence[Query]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, engine.answer, queries)

    return ask_engine
