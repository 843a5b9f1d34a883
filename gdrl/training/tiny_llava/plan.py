"""How long the tiny LLaVA trains, and on how much."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How long and how wide; the defaults made the shipped model."""

    num_scenes: int = 6_000
    vision_steps: int = 700
    vision_pictures: int = 96
    vision_strips: int = 32
    answer_steps: int = 1_800
    answer_pictures: int = 24
    answer_strips: int = 48
    learning_rate: float = 1.5e-3
    vision_share: float = 0.1
    """Learning rate of the vision tower in the second stage, relative to the rest."""
    seed: int = 1
