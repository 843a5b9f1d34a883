"""Who answers: what a replica says of itself, and what a client checks before it asks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    """Who answers."""

    asked_for: str
    """``recipe.mllm.model`` of whoever deployed it."""
    model: str
    revision: str
    batch_size: int
    """Images in a forward pass: what one request should bring."""
