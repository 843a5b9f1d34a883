"""Is the embedded MLLM being shown what it knows? Its answers about anything else are chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import UInt8
from numpy import ndarray

from gdrl.config import MLLMRecipe
from gdrl.mllm import embedded

SAMPLE = 256
"""Images looked at: a share of 0.2 is then known to ± 0.05 (95 %)."""


@dataclass(frozen=True)
class Domain:
    """What a reader must know before believing a score."""

    checked: bool
    """Whether the model is the embedded one; nothing is known of others."""
    outside_fraction: float | None
    """Share of the images unlike all that the embedded model was trained on."""
    message: str
    """The warning, with its remedy; empty where there is none."""


def check_domain(
    recipe: MLLMRecipe, pixels: UInt8[ndarray, "n height width 3"], attributes: Sequence[str]
) -> Domain:
    """Look at the first ``SAMPLE`` images and at the attribute names."""
    if not recipe.is_embedded:
        return Domain(False, None, "")
    fraction = float(embedded.outside_domain(pixels[:SAMPLE]).mean())
    unknown = embedded.unknown_attributes(attributes)
    warnings = []
    if fraction > 0.2:
        warnings.append(
            f"{fraction:.0%} of the images are unlike anything the embedded MLLM was trained on"
        )
    if unknown:
        warnings.append(f"it never learnt the attributes {', '.join(unknown)}")
    if not warnings:
        return Domain(True, fraction, "")
    return Domain(
        True,
        fraction,
        f"{'; '.join(warnings)}. Its scores are chance there: "
        "name a real model in recipe.mllm.model and recipe.mllm.endpoint",
    )
