"""Functions named ``module:function``: the name crosses to other processes, not the code."""

import importlib
from collections.abc import Callable
from typing import Any


def resolve(reference: str) -> Callable[..., Any]:
    """Import the function that ``reference`` names.

    The driver and Ray's controller thus never import what only a worker needs (torch, DeepSpeed),
    and nothing is pickled by value.
    """
    module, separator, name = reference.partition(":")
    if not separator:
        raise ValueError(f"{reference!r} is not of the form 'package.module:function'")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function
