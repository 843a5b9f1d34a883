"""Asks with patience: again what failed on the way, later where the service needs time."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
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

    def __init__(self, queries: Sequence[Query]) -> None:
        self._queries = queries
        self.answers = [Answer("failed")] * len(queries)
        self.attempts = [0] * len(queries)
        self._pending = list(range(len(queries)))

    @property
    def pending(self) -> list[Query]:
        return [self._queries[place] for place in self._pending]

    def take(self, answers: Sequence[Answer], asked: bool = True) -> None:
        """What came back of ``pending``, in order; ``failed`` stays pending.

        An answer that is refused or unparsable is the model's own, and final.
        """
        for place, answer in zip(self._pending, answers, strict=True):
            self.answers[place] = answer
            self.attempts[place] += asked and answer.retry_after_seconds is None
        self._pending = [p for p in self._pending if self.answers[p].status == "failed"]


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

    async def reply(self, image: int, queries: Sequence[Query]) -> Reply:
        """An answer to each query; what stays unanswered keeps its ``failed`` answer."""
        started, asking = time.monotonic(), _Asking(queries)
        failures, refusals, wait, gave_up = 0, 0, 0.0, False
        while (pending := asking.pending) and failures < self._scale.attempts:
            await asyncio.sleep(wait)
            try:
                outcome = await self._breaker.send(partial(self._request, image, pending))
            except ServiceDown:
                asking.take([Answer("failed", reason=self._trouble)] * len(pending), asked=False)
                gave_up = True
                break
            asking.take(outcome.answers)
            if outcome.retry_after_seconds is not None:
                refusals += 1
                wait = outcome.retry_after_seconds + pause(refusals, self._jitter)
            elif outcome.heard or not self._breaker.is_open:  # an outage costs nobody an attempt
                failures += 1
                wait = pause(failures, self._jitter)
        seconds = time.monotonic() - started
        return Reply(tuple(asking.answers), tuple(asking.attempts), seconds, gave_up)

    async def _request(self, image: int, queries: Sequence[Query]) -> _Outcome:
        """One request, and what it tells of the service."""
        sent = time.monotonic()
        outcome = await self._try(queries)
        if any(answer.status != "failed" for answer in outcome.answers):
            self._breaker.answered()
            return outcome
        self._trouble = outcome.answers[0].reason
        if outcome.retry_after_seconds is not None:
            self._breaker.refused()
        else:
            self._breaker.failed(image, sent)
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
