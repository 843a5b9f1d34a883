"""Check shapes and dtypes while tests run: beartype on functions that take or give arrays.

The rest is mypy's, which also understands what beartype refuses: Self, protocols, names that are
imported for type checking only.
"""

from collections.abc import Callable
from typing import Any

from beartype import beartype


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with its arguments and result checked, if any of them is an array."""
    mentions_arrays = "jaxtyping." in repr(getattr(function, "__annotations__", None))
    return beartype(function) if mentions_arrays else function
