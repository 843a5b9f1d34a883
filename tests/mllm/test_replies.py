import pytest

from gdrl.mllm.replies import distribution, is_refusal, parse_option

LEVELS = ("0", "1", "2", "3", "4", "5")
NAMES = ("dark skin", "dark hair", "hat", "none of these")


@pytest.mark.parametrize(
    ("reply", "options", "expected"),
    [
        ("3", LEVELS, 3),
        (" **4.** ", LEVELS, 4),
        ('{"answer": 2}', LEVELS, 2),
        ('```json\n{"answer": "5"}\n```', LEVELS, 5),
        ('{"level": 1}', LEVELS, 1),
        ("3 because of the glasses", LEVELS, 3),
        ("Dark Hair.", NAMES, 1),
        ("None of these, I think", NAMES, 3),
        ("hat", NAMES, 2),
    ],
)
def test_one_option_is_found(reply: str, options: tuple[str, ...], expected: int) -> None:
    assert parse_option(reply, options) == expected


@pytest.mark.parametrize(
    ("reply", "options"),
    [
        ("", LEVELS),
        ("3 or 4", LEVELS),
        ("35", LEVELS),
        ("I would say 3", LEVELS),
        ("{not json", LEVELS),
        ('{"answer": ' + "3" * 5000 + "}", LEVELS),
        ('{"a": 1, "b": 2}', LEVELS),
        ("dark", NAMES),
        ("hats", NAMES),
        ("hat, dark skin", NAMES),
    ],
)
def test_nothing_is_guessed(reply: str, options: tuple[str, ...]) -> None:
    assert parse_option(reply, options) is None


def test_refusals_are_told_from_answers() -> None:
    assert is_refusal("I\N{RIGHT SINGLE QUOTATION MARK}m sorry, I cannot rate people.")
    assert not is_refusal("3")


def _token(token: str, *alternatives: tuple[str, float]) -> dict[str, object]:
    top = [{"token": text, "logprob": value} for text, value in alternatives]
    return {"token": token, "logprob": top[0]["logprob"], "top_logprobs": top}


def test_log_probabilities_become_a_distribution_over_the_options() -> None:
    content = [_token("3", ("3", -0.693147), ("2", -1.386294), ("well", -1.386294))]
    assert distribution(content, LEVELS, 3) == pytest.approx((0, 0, 1 / 3, 2 / 3, 0, 0), abs=1e-5)


def test_the_position_is_where_the_chosen_option_begins() -> None:
    content = [
        _token('{"', ('{"', 0.0)),
        _token("answer", ("answer", 0.0)),
        _token(" 1", (" 1", 0.0)),
    ]
    assert distribution(content, LEVELS, 1) == (0, 1, 0, 0, 0, 0)


def test_a_token_that_two_options_share_decides_nothing() -> None:
    content = [_token("dark", ("dark", -0.1), ("hat", -2.4))]
    assert distribution(content, NAMES, 0) == (1, 0, 0, 0)


def test_without_log_probabilities_the_chosen_option_is_certain() -> None:
    assert distribution([], LEVELS, 2) == (0, 0, 1, 0, 0, 0)
