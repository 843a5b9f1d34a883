"""What every training has: how long, on how much at once, how fast, how exactly."""

from typing import Literal

from gdrl.config.section import PositiveFloat, PositiveInt, Section


class TrainRecipe(Section):
    """One training by the shared engine and loop."""

    steps: PositiveInt
    batch_size: PositiveInt
    """Global batch: each worker takes its slice, so results do not depend on their number."""
    learning_rate: PositiveFloat
    """Peak of the schedule."""
    gradient_clipping: PositiveFloat = 1_000.0
    """Largest 2-norm of a step's gradient. The default meets accidents only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` is for machines that compute in it, as GPUs do: a CPU core with AMX gained half
    (613 to 398 images/s), one without lost more than half (127 to 330)."""
    seed: int = 0
