import pytest

from gdrl.mllm.readings import normalize, readings


def test_distinct_first_tokens_need_one_reading() -> None:
    (reading,) = readings([[1, 9], [2], [3, 9, 9]])
    assert reading.stem == ()
    assert reading.options == {0: (1,), 1: (2,), 2: (3,)}


def test_options_that_begin_alike_are_spelt_out() -> None:
    by_stem = {reading.stem: reading.options for reading in readings([[1, 8], [1, 9], [2]])}
    assert by_stem == {(1,): {0: (1, 8), 1: (1, 9)}, (): {2: (2,)}}


def test_normalized_probabilities_sum_to_one_even_when_all_are_tiny() -> None:
    assert normalize({1: -1000.0, 0: -1000.0}) == pytest.approx((0.5, 0.5))
