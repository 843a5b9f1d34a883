"""A circuit breaker: is the service down, as the fates of all requests tell, and what then?

One image's trouble is not the service's: it opens after failures in a row of *different* images,
each asked after the one before had failed, so that a batch that fails as a whole counts once.
While it is open, one request at a time goes out, after growing pauses; the first answer closes it.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

FAILURES_IN_A_ROW = 3
"""Below the default of 4 attempts: nobody has spent his attempts by the time that it opens."""

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 8.0

Result = TypeVar("Result")


class ServiceDown(Exception):
    """The service has been down for longer than is worth waiting; nothing is sent any more."""


class Breaker:
    """Shared by all requests of one event loop.

    Args:
        outage_seconds: how long an outage may last. A service that never answered gets no time:
            that is a mistake in its settings, which no waiting mends.
        jitter: draws the pauses.
        ever_answered: whether it is known to have answered before.
    """

    def __init__(
        self, outage_seconds: float, jitter: random.Random, ever_answered: bool = False
    ) -> None:
        self.gave_up = False
        self.ever_answered = ever_answered
        self._outage_seconds = outage_seconds
        self._jitter = jitter
        self._failed: set[Hashable] = set()
        self._last_counted = 0.0
        self._silent_since: float | None = None
        self._num_probes = 0
        self._probing = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether the service is taken to be down."""
        return len(self._failed) >= FAILURES_IN_A_ROW

    async def send(self, request: Callable[[], Awaitable[Result]]) -> Result:
        """Send at once, or as a probe once it is this request's turn.

        Raises:
            ServiceDown: the outage has lasted too long. From then on, at once for everybody.
        """
        if self.is_open and not self.gave_up:
            async with self._probing:
                if self.is_open and not self.gave_up:
                    await asyncio.sleep(self._pause())
                    self._give_up_after(self._outage_seconds if self.ever_answered else 0.0)
                    if not self.gave_up:
                        return await request()
        if self.gave_up:
            raise ServiceDown
        return await request()

    def answered(self) -> None:
        """A request came back with an answer."""
        self.ever_answered = True
        self._silent_since = None
        self._num_probes = 0
        self._failed.clear()

    def failed(self, image: Hashable, sent: float) -> None:
        """A request about ``image``, sent at ``sent`` (monotonic seconds), came to nothing."""
        self._begin_silence()
        if sent >= self._last_counted and image not in self._failed:
            self._failed.add(image)
            self._last_counted = time.monotonic()

    def refused(self) -> None:
        """The service is there and asks for time: nobody's failure, but not for ever either."""
        self._begin_silence()
        self._give_up_after(self._outage_seconds)

    def _begin_silence(self) -> None:
        if self._silent_since is None:
            self._silent_since = time.monotonic()

    def _give_up_after(self, seconds: float) -> None:
        if self._silent_since is not None and time.monotonic() - self._silent_since >= seconds:
            self.gave_up = True

    def _pause(self) -> float:
        self._num_probes += 1
        return pause(self._num_probes, self._jitter) if self.ever_answered else 0.0


def pause(times: int, jitter: random.Random) -> float:
    """Seconds to wait after being turned away ``times`` times.

    Full jitter: those that were turned away together do not come back together.
    """
    longest = min(FIRST_PAUSE_SECONDS * 2 ** (times - 1), LONGEST_PAUSE_SECONDS)
    return jitter.uniform(0, longest)
