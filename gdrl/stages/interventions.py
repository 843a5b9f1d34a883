"""Set an attribute, let the graph move the others, decode: pictures behind the report's slider."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from gdrl.data.pictures import save_grid, slug
from gdrl.models.representation import Representation

NUM_VALUES = 9
# The bulk of the training codes: single outliers would stretch the slider into empty latent space.
ABSENT, PRESENT = 0.03, 0.97


def draw_interventions(
    folder: Path,
    model: Representation,
    faces: Float[ndarray, "faces latents"],
    codes: Float[ndarray, "images latents"],
    latents: list[dict[str, Any]],
) -> None:
    """Write ``<slug>.png``, where the graph moves the others, and ``<slug>-alone.png``.

    One pair for each named latent. Rows are the codes ``faces``, columns the attribute from absent
    to present over the range of ``codes``.
    """
    named = [latent for latent in latents if latent["attribute"] is not None]
    for latent in named:
        low, high = np.quantile(codes[:, latent["index"]], (ABSENT, PRESENT))
        values = np.linspace(low, high, NUM_VALUES)[:: latent["sign"]]
        for suffix, propagate in (("", True), ("-alone", False)):
            moved = [model.set_latent(faces, latent["index"], v, propagate) for v in values]
            frames = np.stack([model.decode(code) for code in moved], axis=1)
            save_grid(folder / f"{slug(latent['attribute'])}{suffix}.png", frames)
