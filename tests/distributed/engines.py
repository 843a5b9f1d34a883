"""Engines whose every answer is known. Deployed by name: replicas import this module.

A class opens as ``gdrl.mllm.open:open_engine`` does: a recipe, and settings that no fixture needs.
"""

import itertools
import os
import random
import signal
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from gdrl.config import MLLMRecipe
from gdrl.mllm.engine import Answer, Query


def level_of(image: bytes, question: str, num_options: int) -> int:
    """The option that every engine below answers, once it answers."""
    return zlib.crc32(image + question.encode()) % num_options


def known(query: Query) -> Answer:
    level = level_of(query.images[0], query.question, len(query.options))
    return Answer("ok", tuple(float(option == level) for option in range(len(query.options))))


class Steady:
    """Always answers; its revision tells one process from another."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        self.model = recipe.model
        self.revision = str(os.getpid())

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return [known(query) for query in queries]


class Unsteady(Steady):
    """Seeded trouble: a fifth of the calls raise, one is slow, some answers are no answers."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self._random = random.Random(1)
        self._calls = itertools.count()

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        call = next(self._calls)
        if call == 2:
            time.sleep(3)
        if self._random.random() < 0.2:
            raise ConnectionResetError("lost on the way")
        return [self._one(query) for query in queries]

    def _one(self, query: Query) -> Answer:
        if query.images[0].endswith(b"-malformed"):
            return Answer("unparsable", reason="no digit", reply="a nice picture")
        if query.images[0].endswith(b"-refused"):
            return Answer("refused", reason="no pictures of this kind")
        if query.images[0].endswith(b"-broken"):
            return Answer("failed", reason="not an image")
        return known(query)


class Down(Steady):
    """Reachable by its handle, and of no use."""

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        raise ConnectionRefusedError(f"connection refused ({len(queries)} queries)")


def missing(recipe: MLLMRecipe, **_: float) -> Steady:
    raise FileNotFoundError(f"no model at {recipe.model}")


# --- engines that keep a log, and those with a fault of their own --------------------------------


class Logging(Steady):
    """Writes each question that it answers into its folder, which is its model's name."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self.folder = Path(self.model)
        self.revision = "1"

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        answers = [known(query) for query in queries]
        self.log(queries)
        return answers

    def log(self, queries: Sequence[Query]) -> None:
        pictures = [q for q in queries if q.images[0].startswith(b"image")]  # no health check's
        lines = "".join(f"{q.images[0].decode()} {q.question}\n" for q in pictures)
        with (self.folder / "answered").open("a") as file:
            file.write(lines)

    def first(self, event: str) -> bool:
        """Whether this has never happened, to no replica."""
        try:
            (self.folder / event).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def answered(folder: Path) -> list[str]:
    """The log of an engine: a line for each question, each time that it was answered."""
    log = folder / "answered"
    return log.read_text().splitlines() if log.exists() else []


def die() -> None:
    """As the kernel would have it, once the answers given before are with the client."""
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)


class Killed(Logging):
    """The first replica dies in its third batch, before anybody hears of it."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self._calls = itertools.count(1)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        if next(self._calls) == 3 and self.first("killed"):
            die()
        return super().answer(queries)


class Gone(Logging):
    """After two batches all replicas are gone, and no new one is up for twenty seconds."""

    SECONDS = 20.0

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        gone = self.folder / "gone"
        while gone.exists() and time.time() < gone.stat().st_mtime + self.SECONDS:
            time.sleep(0.1)
        self._calls = itertools.count(1)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        if next(self._calls) > 2 and (self.first("gone") or self._is_gone()):
            die()
        return super().answer(queries)

    def _is_gone(self) -> bool:
        return time.time() < (self.folder / "gone").stat().st_mtime + self.SECONDS


class Malformed(Logging):
    """Three replies in ten make no sense."""

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return [
            Answer("unparsable", reason="no digit", reply="a nice picture")
            if makes_no_sense(query.images[0], query.question)
            else answer
            for query, answer in zip(queries, super().answer(queries), strict=True)
        ]


def makes_no_sense(image: bytes, question: str) -> bool:
    """Whether ``Malformed`` answers nonsense."""
    return zlib.crc32(question.encode() + image) % 10 < 3


class Hanging(Logging):
    """One call in ten gets no answer before the client's patience of a second ends."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self._random = random.Random(0)

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        if self._random.random() < 0.1:
            time.sleep(2)
            raise ConnectionResetError("too late")
        return super().answer(queries)


class Slow(Logging):
    """Takes 20 ms a call, so that there is time to be interrupted."""

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        time.sleep(0.02)
        return super().answer(queries)


class Shedding(Logging):
    """Turns every third call away, as HTTP 429 with ``Retry-After: 0.2``."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self._calls = itertools.count()

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        if next(self._calls) % 3 == 0:
            turned_away = Answer("failed", reason="HTTP 429", retry_after_seconds=0.2)
            return [turned_away] * len(queries)
        return super().answer(queries)


class Leaving(Logging):
    """Answers 50 calls and is then gone for good."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self._calls = itertools.count()

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        if next(self._calls) >= 50:
            raise ConnectionRefusedError("connection refused")
        return super().answer(queries)


class FixedLatency(Steady):
    """Takes as many milliseconds a call as its model's name says, however much is asked."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self.revision = "1"

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        time.sleep(float(self.model) / 1000)
        return [known(query) for query in queries]
