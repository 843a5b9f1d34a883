"""What every training has: how long, on how much at once, how fast, how exactly."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from gdrl.config.section import Fraction, PositiveFloat, PositiveInt, Section

JOINT_STAGE_FROM = 0.45
"""Where on one schedule the joint stage takes over from what extracts the factors. With a schedule
each, the rate falls to 0 and rises again between them: squared error 0.0039 for 0.0034 (``faces``,
seed 1, no scores), and as much without any graph. An extractor that had cooled down and a joint
stage that did not warm up: 0.0047."""


def _forward(stretch: tuple[float, float]) -> tuple[float, float]:
    start, end = stretch
    if start >= end:
        raise ValueError(f"[{start:g}, {end:g}] holds no steps; give a start below its end")
    return stretch


Stretch = Annotated[tuple[Fraction, Fraction], AfterValidator(_forward)]
"""From where to where on a schedule, 0 to 1."""


class TrainRecipe(Section):
    """One training by the shared engine and loop."""

    steps: PositiveInt
    batch_size: PositiveInt
    """Global batch: each worker takes its slice, so results do not depend on their number."""
    learning_rate: PositiveFloat
    """Peak of the schedule."""
    schedule: Stretch = (0.0, 1.0)
    """The stretch of the schedule that these steps run through. A stage that another goes on from
    stops before 1, and the other starts there."""
    gradient_clipping: PositiveFloat = 1_000.0
    """Largest 2-norm of a step's gradient. The default meets accidents only."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` is for machines that compute in it, as GPUs do: a CPU core with AMX gained half
    (613 to 398 images/s), one without lost more than half (127 to 330)."""
    seed: int = 0
