"""Asks with patience: again what failed on the way, later where the service needs time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial

from gdrl.config import StreamScale
from gdrl.distributed.breaker import Breaker, ServiceDown, pause
from gdrl.distributed.remote import last_line
from gdrl.distributed.rows import Reply
from gdrl.errors import EndpointError
from gdrl.mllm.engine import Answer, Query

Ask = Callable[[Sequence[Query]], Awaitable[list[Answer]]]


class Busy(Exception):
    """The deployment's queue is full: nothing was lost, and nothing was answered."""


class _Asking:
    """One image's queries, on their way to their answers."""

    def __init__(self, image: int, queries: Sequence[Query]) -> None:
        self.image = image
        self._queries = queries
        self._answers = [Answer("failed")] * len(queries)
        self._attempts = [0] * len(queries)
        self._pending = list(range(len(queries)))
        self._gave_up = False
        self._started, self._seconds = time.monotonic(), 0.0

    @property
    def pending(self) -> list[Query]:
        return [self._queries[place] for place in self._pending]

    @property
    def reply(self) -> Reply:
        """What has become of the queries so far."""
        return Reply(tuple(self._answers), tuple(self._attempts), self._seconds, self._gave_up)

    def take(self, answers: Iterator[Answer]) -> None:
        """The next of ``answers`` are those to ``pending``, in order; ``failed`` stays pending.

        An answer that is refused or unparsable is the model's own, and final.
        """
        for place in self._pending:
            self._answers[place] = answer = next(answers)
            self._attempts[place] += answer.retry_after_seconds is None
        self._pending = [p for p in self._pending if self._answers[p].status == "failed"]
        self._seconds = time.monotonic() - self._started

    def give_up(self, reason: str) -> None:
        """What is pending was not asked, and will not be."""
        for place in self._pending:
            self._answers[place] = Answer("failed", reason=reason)
        self._gave_up = True


class Client:
    """Shares one circuit breaker among all images in flight.

    Args:
        ask: one request; may raise what :func:`lost` names, TimeoutError, or :class:`Busy`.
        scale: attempts, and patience.
        ever_answered: whether the service is known to have answered before.
    """

    def __init__(self, ask: Ask, scale: StreamScale, ever_answered: bool = False) -> None:
        self._ask = ask
        self._scale = scale
        self._jitter = random.Random(0)
        self._breaker = Breaker(scale.outage_seconds, self._jitter, ever_answered)
        self._trouble = ""

    async def replies(self, queries: Mapping[int, Sequence[Query]]) -> dict[int, Reply]:
        """An answer to each query of each image, which travel as one request while that works.

        What stays unanswered keeps its ``failed`` answer.
        """
        images = [_Asking(image, each) for image, each in queries.items()]
        await self._see_to(images)
        return {each.image: each.reply for each in images}

    async def _see_to(
        self, images: Sequence[_Asking], failures: int = 0, wait: float = 0.0
    ) -> None:
        refusals = 0
        while (images := [e for e in images if e.pending]) and failures < self._scale.attempts:
            await asyncio.sleep(wait)
            try:
                answers = await self._breaker.send(partial(self._request, images))
            except ServiceDown:
                for each in images:
                    each.give_up(self._trouble)
                return
            lost = all(answer.lost for answer in answers)
            if (retry_after := _retry_after(answers)) is not None:
                refusals += 1
                wait = retry_after + pause(refusals, self._jitter)
            elif not (lost and self._breaker.is_open):  # an outage costs nobody an attempt
                failures += 1
                wait = pause(failures, self._jitter)
                if lost and len(images) > 1:
                    # One of them may be what the engine cannot bear: from here on each for itself.
                    alone = (self._see_to([each], failures, wait) for each in images)
                    await asyncio.gather(*alone)
                    return

    async def _request(self, images: Sequence[_Asking]) -> list[Answer]:
        """One request, and what it tells of the service."""
        sent = time.monotonic()
        answers = await self._try([query for each in images for query in each.pending])
        their = iter(answers)
        for each in images:
            each.take(their)
        if any(answer.status != "failed" for answer in answers):
            self._breaker.answered()
        else:
            self._trouble = answers[0].reason
            if _retry_after(answers) is not None:
                self._breaker.refused()
            else:
                self._breaker.failed(images[0].image, sent)
        return answers

    async def _try(self, queries: Sequence[Query]) -> list[Answer]:
        """As many answers as queries; what got lost is ``failed``, with the reason."""
        try:
            answers = await self._ask(queries)
        except TimeoutError:
            reason = f"no answer within {self._scale.timeout_seconds:g} s"
        except Busy as error:
            refused = Answer("failed", reason=last_line(error), retry_after_seconds=0.0)
            return [refused] * len(queries)
        except lost() as error:
            reason = last_line(error)
        else:
            if len(answers) == len(queries):
                return answers
            reason = f"{len(answers)} answers to {len(queries)} queries"
        return [Answer("failed", reason=reason, lost=True)] * len(queries)


def _retry_after(answers: Sequence[Answer]) -> float | None:
    """How long the service wants to be left alone; None where it turned nothing away."""
    waits = [a.retry_after_seconds for a in answers if a.retry_after_seconds is not None]
    return max(waits, default=None)


def lost() -> tuple[type[Exception], ...]:
    """Lost replicas, an engine that raised (both Ray's), a connection that is refused or breaks."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    return RayError, RayServeException, OSError, EndpointError
