"""An engine with a script, opened by name where a recipe's endpoint would be."""

import json
import zlib
from collections.abc import Sequence

from gdrl.config import MLLMRecipe
from gdrl.mllm.engine import Answer, Query

BITS = {"hat": 0, "cap": 0, "beard": 1}


class Scripted:
    """Lists of every picture what its model's name lists; sees what the picture's checksum says.

    A cap is a hat, but for one picture in 32; a face is in every picture.
    """

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        self.model = recipe.model
        self.revision = "1"

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return [self._level(query) if query.options else self._listed() for query in queries]

    def _listed(self) -> Answer:
        return Answer("ok", (), reply=json.dumps(self.model.split(",")))

    def _level(self, query: Query) -> Answer:
        name, bits = query.question.rpartition(": ")[2], zlib.crc32(query.images[0])
        contrary = name == "cap" and bits >> 8 & 31 == 0
        shown = name == "face" or bool(bits >> BITS[name] & 1) != contrary
        return Answer("ok", (0, 0, 0, 0, 0, 1) if shown else (1, 0, 0, 0, 0, 0))
