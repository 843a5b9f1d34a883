"""What is asked and what comes back: the one interface between the method and any MLLM.

A query is a question about images with a closed list of options; an answer is a probability for
each option. Reading the distribution instead of a sampled word keeps what the model is unsure of,
and costs one forward pass instead of a generation. How strongly, which one, yes or no: these differ
in their options alone, so they are made by functions (:mod:`gdrl.mllm.questions`), and an engine
has one method.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Status = Literal["ok", "unparsable", "refused", "failed"]


@dataclass(frozen=True)
class Query:
    """One question about one or several images."""

    images: tuple[bytes, ...]
    """Encoded pictures (PNG or JPEG), in the order they are shown."""
    question: str
    options: tuple[str, ...]
    """The answers allowed, at least two, all different; none asks for text."""
    version: str
    """Version of the question's wording; stored with every score."""


@dataclass(frozen=True)
class Answer:
    """What an engine made of one query."""

    status: Status
    probabilities: tuple[float, ...] | None = None
    """One per option, summing to 1, so none for text; ``None`` unless ``status`` is ``ok``."""
    reason: str = ""
    """Why there are no probabilities."""
    reply: str = ""
    """The raw text of the model, where it wrote any."""
    retry_after_seconds: float | None = None
    """Set where a server turned the query away unasked (HTTP 429 or 503): how long it wants to be
    left alone. The answer is then ``failed``, and asking again after that time costs nobody."""
    lost: bool = False
    """Whether the query or its answer got lost on the way: ``failed``, and nothing was heard."""


class Engine(Protocol):
    """Anything that answers queries. Batching, and sharing work between queries, happens inside."""

    @property
    def model(self) -> str:
        """Name of the model that answers."""
        ...

    @property
    def revision(self) -> str:
        """What tells this model's weights from another's of the same name; may be empty."""
        ...

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer every query: same length, same order.

        A query that cannot be answered gets a status other than ``ok``; it never takes its
        neighbours down.
        """
        ...
