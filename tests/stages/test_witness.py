from collections.abc import Sequence

import numpy as np
import pytest

from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.questions import NONE
from gdrl.stages.witness import Verdict, name_strips

ATTRIBUTES = ["hat", "beard"]
STRIP = np.zeros((3, 5, 8, 8, 3), dtype=np.uint8)


class Recited:
    """An MLLM that gives its lines in order, and keeps what it was asked."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        self.answers, self.asked = list(answers), list[Query]()

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        self.asked += queries
        return self.answers[: len(queries)]


def ok(*probabilities: float) -> Answer:
    return Answer("ok", probabilities)


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([ok(0.6, 0.3, 0.1), ok(0.6, 0.3, 0.1), ok(0.0, 1.0, 0.0)], Verdict("beard", 1.6 / 3)),
        ([ok(0.2, 0.2, 0.6)] * 3, Verdict(None, 0.6)),
        ([ok(0.9, 0.1, 0.0), *[Answer("failed", None, "timeout")] * 2], Verdict("hat", 0.9)),
        ([Answer("failed", None, "timeout")] * 3, Verdict(None, 0.0)),
    ],
    ids=["the mean decides", "none of these", "unanswered faces are left out", "no answer"],
)
def test_verdict(answers: list[Answer], verdict: Verdict) -> None:
    (seen,) = name_strips([STRIP], ATTRIBUTES, Recited(answers).answer)
    assert seen.attribute == verdict.attribute
    assert seen.probability == pytest.approx(verdict.probability)


def test_each_face_is_asked_about_with_every_attribute_and_none() -> None:
    mllm = Recited([ok(1.0, 0.0, 0.0)] * 6)
    assert len(name_strips([STRIP, STRIP], ATTRIBUTES, mllm.answer)) == 2
    assert len(mllm.asked) == 6
    assert all(query.options == ("hat", "beard", NONE) for query in mllm.asked)
