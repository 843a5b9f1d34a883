"""Engines whose every answer is known. Deployed by name: replicas import this module."""

import itertools
import os
import random
import time
import zlib
from collections.abc import Sequence

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

    def __init__(self, model: str) -> None:
        self.model = model
        self.revision = str(os.getpid())

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return [known(query) for query in queries]


class Unsteady(Steady):
    """Seeded trouble: a fifth of the calls raise, one is slow, some answers are no answers."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
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


def steady(recipe: MLLMRecipe, **_: int) -> Steady:
    return Steady(recipe.model)


def unsteady(recipe: MLLMRecipe, **_: int) -> Steady:
    return Unsteady(recipe.model)


def down(recipe: MLLMRecipe, **_: int) -> Steady:
    return Down(recipe.model)


def missing(recipe: MLLMRecipe, **_: int) -> Steady:
    raise FileNotFoundError(f"no model at {recipe.model}")
