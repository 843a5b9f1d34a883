"""One option out of what a model wrote, or nothing: no guessing."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_EDGES = " \t\r\n\"'`*_.,:;!?()[]"
_REFUSALS = ("i'm sorry", "i am sorry", "sorry", "i cannot", "i can't", "i can not", "i'm unable")
_REFUSALS_MORE = ("i am unable", "i won't", "as an ai", "unable to")


def parse_option(reply: str, options: Sequence[str]) -> int | None:
    """Index of the option that a reply names, or ``None``.

    Repairs are bounded: case, surrounding punctuation, a JSON object with the answer, and words
    after the option so long as they name no other option. "3 or 4" stays unparsed.
    """
    text = _plain(_from_json(reply))
    names = [_plain(option) for option in options]
    if text in names:
        return names.index(text)
    leading = [i for i, name in enumerate(names) if re.match(rf"{re.escape(name)}\b", text)]
    if not leading:
        return None
    best = max(leading, key=lambda index: len(names[index]))
    rest = text[len(names[best]) :]
    others = (name for index, name in enumerate(names) if index != best)
    if any(re.search(rf"\b{re.escape(name)}\b", rest) for name in others):
        return None
    return best


def is_refusal(reply: str) -> bool:
    """Whether a reply opens as refusals do."""
    opening = reply.strip().casefold().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return opening.startswith((*_REFUSALS, *_REFUSALS_MORE))


def distribution(
    content: Sequence[Mapping[str, Any]], options: Sequence[str], chosen: int
) -> tuple[float, ...]:
    """Probabilities of the options at the token where the chosen one begins.

    Args:
        content: ``choices[0].logprobs.content`` of a chat completion; may be empty.
        options: the options of the query.
        chosen: the option that the reply names.

    A token counts for an option if that option alone begins with it. Where the log-probabilities do
    not tell the options apart, all mass is on the chosen one.
    """
    names = [_plain(option) for option in options]
    for position in content[_value(content) :]:
        if chosen in _begins(position["token"], names):
            mass = [0.0] * len(names)
            for candidate in position.get("top_logprobs") or [position]:
                owners = _begins(candidate["token"], names)
                if len(owners) == 1:
                    mass[owners[0]] += math.exp(candidate["logprob"])
            if mass[chosen] > 0:
                return tuple(value / sum(mass) for value in mass)
            break
    return tuple(float(index == chosen) for index in range(len(names)))


def _value(content: Sequence[Mapping[str, Any]]) -> int:
    """Position from which a JSON reply speaks of the option: behind its key; 0 of another reply."""
    if not content or not content[0]["token"].lstrip().startswith("{"):
        return 0
    keys = (index for index, position in enumerate(content) if ":" in position["token"])
    return next(keys, -1) + 1


def _begins(token: str, names: Sequence[str]) -> list[int]:
    """The options that begin with this token."""
    text = _plain(token)
    return [index for index, name in enumerate(names) if text and name.startswith(text)]


def _plain(text: str) -> str:
    return " ".join(text.casefold().strip(_EDGES).split())


def _from_json(reply: str) -> str:
    """The value of ``answer`` (or the only value) of a JSON object; any other reply unchanged."""
    text = reply.strip().removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    if not text.startswith("{"):
        return reply
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):  # a thousand brackets or digits
        return reply
    values = list(parsed.values())
    return str(parsed.get("answer", values[0] if len(values) == 1 else reply))
