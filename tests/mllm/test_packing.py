import numpy as np

from gdrl.mllm.packing import pack


def test_the_common_beginning_is_stored_once() -> None:
    packed = pack([[1, 2, 3, 4], [1, 2, 5], [1, 2, 6, 7]])
    assert packed.token_ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert packed.positions.tolist() == [0, 1, 2, 3, 2, 2, 3]


def test_every_token_sees_its_own_prompt_so_far_and_nothing_else() -> None:
    prompts = [[1, 2, 3, 4], [1, 2, 5], [1, 2, 6, 7]]
    packed = pack(prompts)
    for number, prompt in enumerate(prompts):
        for position in range(len(prompt)):
            seen = packed.token_ids[packed.visible[packed.index(number, position)]]
            assert seen.tolist() == prompt[: position + 1]


def test_equal_prompts_keep_a_last_token_each() -> None:
    packed = pack([[1, 2], [1, 2]])
    assert packed.token_ids.tolist() == [1, 2, 2]
    assert packed.index(0, 1) != packed.index(1, 1)


def test_a_single_prompt_is_itself() -> None:
    packed = pack([[4, 5, 6]])
    assert packed.token_ids.tolist() == [4, 5, 6]
    assert np.array_equal(packed.visible, np.tril(np.ones((3, 3), dtype=bool)))
