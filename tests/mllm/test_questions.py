import pytest

from gdrl.mllm.engine import Answer
from gdrl.mllm.questions import LEVELS, NONE, expectation, naming_query, score_query


def test_a_score_query_offers_six_levels_and_ends_with_the_attribute() -> None:
    query = score_query(b"picture", "wide hat")
    assert query.options == LEVELS
    assert query.question.endswith("wide hat")


def test_a_naming_query_shows_the_ends_of_the_strip() -> None:
    query = naming_query([b"a", b"b", b"c"], ["hat", "beard"])
    assert query.images == (b"a", b"c")
    assert query.options == ("hat", "beard", NONE)
    assert all(option in query.question for option in query.options)


def test_one_frame_is_no_strip() -> None:
    with pytest.raises(ValueError, match="at least two frames"):
        naming_query([b"a"], ["hat"])


def test_expectation_weighs_the_levels() -> None:
    assert expectation(Answer("ok", (0.0, 0.0, 0.5, 0.0, 0.5, 0.0))) == pytest.approx(3.0)


def test_there_is_no_expectation_of_a_failure() -> None:
    with pytest.raises(ValueError, match="damaged"):
        expectation(Answer("failed", reason="damaged"))
