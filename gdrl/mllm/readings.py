"""Which log-probabilities answer a query: options as tokens.

Options whose first tokens differ are told apart by those, at the end of the prompt. Where two
options begin alike ("dark skin", "dark hair"), every option is spelt out and scored whole.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """One continuation of a prompt, and the options whose log-probability it holds.

    Option token t is predicted by position t of the reading: position 0 is the end of the prompt,
    position t > 0 is token t - 1 of ``stem``.
    """

    stem: tuple[int, ...]
    options: Mapping[int, tuple[int, ...]]
    """Index of the option -> its tokens; the stem and one more."""


def readings(options: Sequence[Sequence[int]]) -> list[Reading]:
    """The fewest continuations that score every option, given as token ids."""
    tokens = [tuple(option) for option in options]
    if len({option[0] for option in tokens}) == len(tokens):
        tokens = [option[:1] for option in tokens]
    by_stem: dict[tuple[int, ...], dict[int, tuple[int, ...]]] = {}
    for index, option in enumerate(tokens):
        by_stem.setdefault(option[:-1], {})[index] = option
    return [Reading(stem, members) for stem, members in by_stem.items()]


def normalize(log_probabilities: Mapping[int, float]) -> tuple[float, ...]:
    """Probabilities over the options, in order, from each option's log-probability."""
    highest = max(log_probabilities.values())
    weights = [math.exp(log_probabilities[i] - highest) for i in range(len(log_probabilities))]
    total = sum(weights)
    return tuple(weight / total for weight in weights)
