"""A module that passes gradients on without learning from them."""

from typing import Any

from torch import nn
from torch.func import functional_call


def constant(module: nn.Module, *inputs: Any) -> Any:
    """``module(*inputs)`` with its weights held: gradients reach the inputs and stop there.

    Not ``requires_grad_(False)``: in the same step the module may learn from another term. ZeRO-3
    cannot run it, since it keeps a module's weights only while that module itself runs.
    """
    held = {name: weight.detach() for name, weight in module.named_parameters()}
    return functional_call(module, held, inputs)
