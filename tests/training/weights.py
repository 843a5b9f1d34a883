"""Weights of two trainings that should be one."""

from collections.abc import Mapping

from torch import Tensor


def apart(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    """Mean absolute difference of all weights.

    Not the largest: of a gradient that is all but 0 Adam's first steps take the sign, which is
    rounding's. Four steps in parts of a batch came 5e-8 apart, one weight of 16,384 by 2e-3;
    2 % more learning rate made 9e-5, and an image less in each batch 2e-3.
    """
    assert found.keys() == expected.keys()
    total = sum((found[name] - weights).abs().sum().item() for name, weights in expected.items())
    return total / sum(weights.numel() for weights in expected.values())
