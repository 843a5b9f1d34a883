"""The MLLM as a Serve deployment: one engine a replica, one request a forward pass.

Replicas import it, and what deploys them; all others go through :mod:`gdrl.distributed.serve`.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from ray import serve

from gdrl.config import MLLMRecipe
from gdrl.distributed.identity import Identity
from gdrl.distributed.reference import resolve
from gdrl.mllm.engine import Answer, Engine, Query
from gdrl.mllm.questions import probe_query

STUCK_SECONDS = 600.0
"""A forward pass longer than this is taken for hung, and the replica is replaced."""

UNPROVEN_SECONDS = 60.0
"""A replica that answered nothing for this long is asked a question of our own."""


class Replica:
    """Answers requests one after the other; clients fill them (:attr:`Identity.batch_size`).

    Gathering small requests here instead left 0.58 of the embedded MLLM's own rate, where this
    leaves 0.74 to 0.89 (RESULTS.md, section 11).
    """

    def __init__(
        self, recipe: MLLMRecipe, batch_size: int, num_threads: int, open_engine: str
    ) -> None:
        self._asked_for, self._batch_size = recipe.model, batch_size
        self._engine: Engine = resolve(open_engine)(
            recipe, batch_size=batch_size, num_threads=num_threads
        )
        self._turn = asyncio.Lock()
        self._busy_since: float | None = None
        self._last_answer = time.monotonic()

    async def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer the queries, in order."""
        async with self._turn:
            self._busy_since = time.monotonic()
            try:
                # In a thread: health checks go on, and the next request comes in meanwhile.
                answers = await asyncio.to_thread(self._engine.answer, queries)
            finally:
                self._busy_since = None
        self._last_answer = time.monotonic()
        return answers

    def identity(self) -> Identity:
        """Model and revision, stored with every score, and how much to ask at once."""
        return Identity(
            self._asked_for, self._engine.model, self._engine.revision, self._batch_size
        )

    async def check_health(self) -> None:
        """Serve asks this every 10 s, and replaces a replica that raises three times in a row.

        Answers to others prove enough. Where there were none for a while, because nobody asked or
        because every batch fails, one question is asked.

        Raises:
            RuntimeError: the engine has been at one batch for too long, or cannot answer.
        """
        now = time.monotonic()
        if self._busy_since is not None:
            if now - self._busy_since > STUCK_SECONDS:
                raise RuntimeError(f"the engine has been at one batch for over {STUCK_SECONDS:g} s")
        elif now - self._last_answer > UNPROVEN_SECONDS:
            (answer,) = await asyncio.to_thread(self._engine.answer, [probe_query()])
            if answer.status == "failed":
                raise RuntimeError(f"the engine cannot answer: {answer.reason}")
            self._last_answer = now


# Not a decorator: the class keeps its name in this module, so it crosses to replicas as a name.
MLLM: Any = serve.deployment(name="MLLM")(Replica)
