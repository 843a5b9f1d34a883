"""Asks with patience: again what failed on the way, later where the service needs time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from gdrl.config import StreamScale
from gdrl.distributed.breaker import Breaker, ServiceDown, pause
from gdrl.distributed.rows import Reply
from gdrl.errors import EndpointError
from gdrl.mllm.engine import Answer, Query

Ask = Callable[[Sequence[Query]], Awaitable[list[Answer]]]


class Busy(Exception):
    """The deployment's queue is full: nothing was lost, and nothing was answered."""


@dataclass(frozen=True)
class _Outcome:
    """What became of one request."""

    answers: list[Answer]
    heard: bool = True
    """Whether the service said something; else the request got lost on the way."""

    @property
    def retry_after_seconds(self) -> float | None:
        """How long the service wants to be left alone; None where it turned nothing away."""
        waits = [a.retry_after_seconds for a in self.answers if a.retry_after_seconds is not None]
        return max(waits, default=None)


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
        ask: one request; may raise what :func:`lost` names, or :class:`Busy`.
        scale: attempts, and patience.
    """

    def __init__(self, ask: Ask, scale: StreamScale) -> None:
        self._ask = ask
        self._scale = scale
        self._jitter = random.Random(0)
        self._breaker = Breaker(scale.outage_seconds, self._jitter)
        self._trouble = ""

    async def replies(self, queries: Mapping[int, Sequence[Query]]) -> dict[int, Reply]:
        """An answer to each query of each image, which travel as one request while that works.

        What stays unanswered keeps its ``failed`` answer.
        """
        images = [_Asking(image, each) for image, each in queries.items()]
        await self._see_to(images)
        return {each.image: each.reply for each in images}

    async def _see_to(self, images: Sequence[_Asking], failures: int = 0) -> None:
        refusals, wait = 0, 0.0
        while (images := [e for e in images if e.pending]) and failures < self._scale.attempts:
            await asyncio.sleep(wait)
            try:
                outcome = await self._breaker.send(partial(self._request, images))
            except ServiceDown:
                for each in images:
                    each.give_up(self._trouble)
                return
            if outcome.retry_after_seconds is not None:
                refusals += 1
                wait = outcome.retry_after_seconds + pause(refusals, self._jitter)
            elif outcome.heard or not self._breaker.is_open:  # an outage costs nobody an attempt
                failures += 1
                wait = pause(failures, self._jitter)
                if not outcome.heard and len(images) > 1:
                    # One of them may be what the engine cannot bear: from here on each for itself.
                    await asyncio.gather(*(self._see_to([each], failures) for each in images))
                    return

    async def _request(self, images: Sequence[_Asking]) -> _Outcome:
        """One request, and what it tells of the service."""
        sent = time.monotonic()
        outcome = await self._try([query for each in images for query in each.pending])
        answers = iter(outcome.answers)
        for each in images:
            each.take(answers)
        if any(answer.status != "failed" for answer in outcome.answers):
            self._breaker.answered()
            return outcome
        self._trouble = outcome.answers[0].reason
        if outcome.retry_after_seconds is not None:
            self._breaker.refused()
        else:
            self._breaker.failed(images[0].image, sent)
        return outcome

    async def _try(self, queries: Sequence[Query]) -> _Outcome:
        """As many answers as queries; what got lost is ``failed``, with the reason."""
        try:
            answers = await asyncio.wait_for(self._ask(queries), self._scale.timeout_seconds)
        except TimeoutError:
            reason = f"no answer within {self._scale.timeout_seconds:g} s"
        except Busy as error:
            refused = Answer("failed", reason=_last_line(error), retry_after_seconds=0.0)
            return _Outcome([refused] * len(queries))
        except lost() as error:
            reason = _last_line(error)
        else:
            if len(answers) == len(queries):
                return _Outcome(answers)
            reason = f"{len(answers)} answers to {len(queries)} queries"
        return _Outcome([Answer("failed", reason=reason)] * len(queries), heard=False)


def lost() -> tuple[type[Exception], ...]:
    """Lost replicas, an engine that raised (both Ray's), a connection that is refused or breaks."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    return RayError, RayServeException, OSError, EndpointError


def _last_line(error: Exception) -> str:
    """A remote traceback ends in the line that matters."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
