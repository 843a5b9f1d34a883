"""The questions, word for word.

The part that differs from question to question comes last. Queries about one image then share
all tokens but the attribute, and an engine that shares prefixes (ours, vLLM) computes the picture
and the sentence once for all attributes.
"""

import io
from collections.abc import Sequence

from PIL import Image

from gdrl.config.recipe import RESERVED
from gdrl.mllm.engine import Answer, Query

QUESTION_VERSION = "1"
"""Raise it with any change of wording: answers to different wordings are different measurements."""

LEVELS = ("0", "1", "2", "3", "4", "5")
"""Strength of presence (GEM, arXiv 2407.18999, section 3.2)."""

NONE = RESERVED

_SCORE = (
    "How strongly is an attribute present in the picture, from 0 (absent) to 5 (unmistakable)? "
    "Answer with one digit. Attribute: {attribute}"
)
_NAMING = (
    "From the first picture to the second, one attribute changes most. Which one? "
    "Answer with one of: {options}"
)


def score_query(image: bytes, attribute: str) -> Query:
    """How strongly is ``attribute`` present in ``image``, 0 to 5."""
    return Query((image,), _SCORE.format(attribute=attribute), LEVELS, QUESTION_VERSION)


def naming_query(frames: Sequence[bytes], attributes: Sequence[str]) -> Query:
    """Which of ``attributes`` changes along ``frames``, or none of them.

    A strip is shown by its ends. A traversal is a straight line in latent space, so what changes
    along it differs most between them, and two pictures cost a model 2/5 of five.

    Raises:
        ValueError: fewer than two frames.
    """
    if len(frames) < 2:
        raise ValueError(f"a change needs at least two frames, not {len(frames)}")
    options = (*attributes, NONE)
    question = _NAMING.format(options=", ".join(options))
    return Query((frames[0], frames[-1]), question, options, QUESTION_VERSION)


def probe_query() -> Query:
    """A question whose answer is of no interest, to see that one comes: a grey square."""
    square = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(square, "PNG")
    return score_query(square.getvalue(), "hat")


def expectation(answer: Answer) -> float:
    """Expected level of an answered score query, 0 to 5.

    Raises:
        ValueError: the answer holds no probabilities.
    """
    if answer.probabilities is None:
        raise ValueError(f"no expectation of an answer that is {answer.status}: {answer.reason}")
    return sum(level * p for level, p in enumerate(answer.probabilities))
