"""Several prompts in one sequence: their common beginning once, then each prompt's own end.

Positions restart and the mask is cut after the common beginning, so every token sees exactly what
it would see in a sequence of its own and the answers are the same up to rounding. Twelve questions
about one picture become 61 tokens instead of 468.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64
from numpy import ndarray


@dataclass(frozen=True)
class PackedPrompts:
    """One packed sequence."""

    token_ids: Int64[ndarray, " length"]
    positions: Int64[ndarray, " length"]
    """Position of each token in its own prompt."""
    visible: Bool[ndarray, "length length"]
    """``visible[i, j]``: token i attends to token j."""
    shared: int
    """Length of the common beginning."""
    starts: tuple[int, ...]
    """Where each prompt goes on after the common beginning."""

    def index(self, prompt: int, position: int) -> int:
        """Where token number ``position`` of a prompt lies in the packed sequence."""
        if position < self.shared:
            return position
        return self.starts[prompt] + position - self.shared


def pack(prompts: Sequence[Sequence[int]]) -> PackedPrompts:
    """Pack prompts (token ids, none empty) behind their longest common prefix.

    Every prompt keeps at least its last token to itself, equal prompts too.
    """
    shared = _common_prefix(prompts)
    lengths = np.array([len(prompt) - shared for prompt in prompts])
    own = [token for prompt in prompts for token in prompt[shared:]]
    owner = np.repeat(np.arange(-1, len(prompts)), [shared, *lengths])
    causal = np.tril(np.ones((len(owner), len(owner)), dtype=bool))
    return PackedPrompts(
        token_ids=np.array([*prompts[0][:shared], *own], dtype=np.int64),
        positions=np.concatenate([np.arange(shared), *(shared + np.arange(n) for n in lengths)]),
        visible=causal & ((owner[:, None] == owner) | (owner == -1)),
        shared=shared,
        starts=tuple((shared + np.cumsum(lengths) - lengths).tolist()),
    )


def _common_prefix(prompts: Sequence[Sequence[int]]) -> int:
    """Length of the longest common prefix that leaves every prompt its last token."""
    longest = min(len(prompt) for prompt in prompts) - 1
    for index in range(longest):
        if any(prompt[index] != prompts[0][index] for prompt in prompts):
            return index
    return longest
