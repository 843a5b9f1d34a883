"""What every training has: how long, on how much at once, how fast, how exactly."""

from typing import Literal, Self

from pydantic import model_validator

from gdrl.config.section import Fraction, PositiveFloat, PositiveInt, Section


class TrainRecipe(Section):
    """One training by the shared engine and loop."""

    steps: PositiveInt
    batch_size: PositiveInt
    """Global batch: each worker takes its slice, so results do not depend on their number."""
    learning_rate: PositiveFloat
    """Peak of the schedule."""
    schedule: tuple[Fraction, Fraction] = (0.0, 1.0)
    """The stretch of the schedule that these steps run through. A stage that another goes on from
    stops before 1, and the other starts there: neither cools down and warms up again between."""
    gradient_clipping: PositiveFloat = 1_000.0
    """Largest 2-norm of a step's gradient. The default meets accidents only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` is for machines that compute in it, as GPUs do: a CPU core with AMX gained half
    (613 to 398 images/s), one without lost more than half (127 to 330)."""
    seed: int = 0

    @model_validator(mode="after")
    def _schedule_goes_forward(self) -> Self:
        start, end = self.schedule
        if start >= end:
            raise ValueError(
                f"schedule = [{start:g}, {end:g}] holds no steps; give a start below its end"
            )
        return self
