"""The MLLM as a Serve deployment: one engine a replica, requests gathered into forward passes.

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

BATCH_WAIT_SECONDS = 0.05
"""How long an incomplete batch waits for more: little beside a forward pass of a second."""

STUCK_SECONDS = 600.0
"""A forward pass longer than this is taken for hung, and the replica is replaced."""

UNPROVEN_SECONDS = 60.0
"""A replica that answered nothing for this long is asked a question of our own."""


class Replica:
    """Answers requests; a request is the queries of one image, or a few of any kind."""

    def __init__(
        self, recipe: MLLMRecipe, batch_size: int, num_threads: int, open_engine: str
    ) -> None:
        self._asked_for = recipe.model
        self._engine: Engine = resolve(open_engine)(
            recipe, batch_size=batch_size, num_threads=num_threads
        )
        self._busy_since: float | None = None
        self._last_answer = time.monotonic()
        self.answer.set_max_batch_size(batch_size)  # type: ignore[attr-defined]  # serve.batch's

    @serve.batch(batch_wait_timeout_s=BATCH_WAIT_SECONDS)
    async def answer(self, requests: list[Sequence[Query]]) -> list[list[Answer]]:
        """Answer each request's queries, in order; requests at hand share the engine's batches."""
        queries = [query for request in requests for query in request]
        self._busy_since = time.monotonic()
        try:
            # In a thread: health checks and the next batch's gathering go on meanwhile.
            answers = iter(await asyncio.to_thread(self._engine.answer, queries))
        finally:
            self._busy_since = None
        self._last_answer = time.monotonic()
        return [[next(answers) for _ in request] for request in requests]

    def identity(self) -> Identity:
        """Model and revision, stored with every score."""
        return Identity(self._asked_for, self._engine.model, self._engine.revision)

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
