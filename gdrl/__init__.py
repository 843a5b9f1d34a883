"""Named factors of an image set, the graph that relates them, and a generator that respects it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdrl.models.factor_model import FactorModel

__all__ = ["FactorModel"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """``gdrl.FactorModel``, imported when asked for: it needs torch, ``gdrl status`` does not."""
    if name == "FactorModel":
        from gdrl.models.factor_model import FactorModel

        return FactorModel
    raise AttributeError(f"module 'gdrl' has no attribute {name!r}")
