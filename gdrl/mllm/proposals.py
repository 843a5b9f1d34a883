"""The one open question: which attributes are there to ask about? And what is taken for an answer.

What a model writes here becomes part of later questions, so little is let through: a JSON list of
phrases of one to four plain words. A reply in any other form proposes nothing.
"""

import json
import re
from collections.abc import Sequence

from gdrl.mllm.engine import Query
from gdrl.mllm.questions import NONE

PROPOSAL_VERSION = "1"
"""Raise it with any change of wording, as QUESTION_VERSION."""

MAX_PHRASES = 20
"""Of one reply; the rest of a longer list is left out."""

_QUESTION = (
    "Which attributes does this picture show that other pictures of its kind may lack? Name up to "
    "12, each in one to three English words, such as what is worn, its colour or its expression. "
    "Answer with a JSON list of strings and nothing else."
)
_PHRASE = re.compile(r"[a-z]+(?:[ -][a-z]+){0,3}")
_LONGEST = 40
_PLURAL = re.compile(r"(ss|sh|ch|x)es$|([^s])s$")
_ARTICLES = frozenset(("a", "an", "the"))


def proposal_query(image: bytes) -> Query:
    """Which attributes does ``image`` show? No options: the answer is its reply."""
    return Query((image,), _QUESTION, (), PROPOSAL_VERSION)


def parse_phrases(reply: str) -> tuple[str, ...] | None:
    """The phrases that a reply lists, in lower case; None where it is no list of strings.

    A phrase that is not one to four plain words is left out, and so is ``NONE``.
    """
    text = reply.strip().removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(listed, list) or not all(isinstance(phrase, str) for phrase in listed):
        return None
    phrases = [" ".join(phrase.casefold().split()) for phrase in listed[:MAX_PHRASES]]
    return tuple(p for p in phrases if len(p) <= _LONGEST and _PHRASE.fullmatch(p) and p != NONE)


def normalised(phrase: str) -> tuple[str, ...]:
    """Its words, singular, without articles, sorted: equal for "the red shirt", "shirts, red"."""
    words = re.findall(r"[a-z]+", phrase.casefold())
    return tuple(sorted(_PLURAL.sub(r"\1\2", word) for word in words if word not in _ARTICLES))


def count_phrases(replies: Sequence[Sequence[str]]) -> dict[str, int]:
    """In how many replies each phrase is named, most first; those of equal words count as one.

    A phrase is written as it was first.
    """
    written: dict[tuple[str, ...], str] = {}
    counts: dict[tuple[str, ...], int] = {}
    for phrases in replies:
        for phrase in phrases:
            written.setdefault(normalised(phrase), phrase)
        for words in {normalised(phrase): None for phrase in phrases}:
            counts[words] = counts.get(words, 0) + 1
    ordered = sorted(counts, key=lambda words: -counts[words])
    return {written[words]: counts[words] for words in ordered if words}
