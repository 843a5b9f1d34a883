"""Numbers that follow from the step alone, so that a resumed run meets them again."""

import math

WARMUP_FRACTION = 0.05
CLOSED_FRACTION = 0.07


def learning_rate_at(
    step: int, num_steps: int, peak: float, stretch: tuple[float, float] = (0.0, 1.0)
) -> float:
    """Linear warm-up over 5 % of the steps, then a cosine to 0 (Loshchilov & Hutter 2017).

    Args:
        step: of the ``num_steps``.
        num_steps: how many run through ``stretch``.
        peak: the rate after warm-up.
        stretch: start and end of the schedule's part that is run through; (0, 1) is all of it.
    """
    start, end = stretch
    total = round(num_steps / (end - start))
    step += round(start * total)
    warmup = max(1, round(WARMUP_FRACTION * total))
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


def capacity_at(step: int, num_steps: int, target: float) -> float:
    """Target KL in nats, raised linearly over the first half of the steps (Burgess et al. 2018)."""
    return target * min(1.0, 2 * step / num_steps)


def opening_at(step: int, num_steps: int) -> float:
    """How far the free latents are open: 0 for the first 7 % of the steps, 1 from 14 % on.

    While they are closed the convolutions learn from the few scored images of a batch alone. With
    15 % of the steps in place of 7, at the full learning rate, that undid what they had learned.
    """
    return min(1.0, max(0.0, step / (CLOSED_FRACTION * num_steps) - 1))
