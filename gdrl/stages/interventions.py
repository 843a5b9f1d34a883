"""Set an attribute, let the graph move the others, decode: pictures behind the report's slider."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from gdrl.data.pictures import save_grid, slug
from gdrl.models.factor_model import FactorModel

NUM_VALUES = 9


def draw_interventions(
    folder: Path, model: FactorModel, faces: UInt8[ndarray, "faces size size 3"]
) -> None:
    """Write ``<slug>.png``, where the graph moves the others, and ``<slug>-alone.png``.

    One pair for each named latent. Rows are the images ``faces``, columns the attribute's level
    from 0 to 1.
    """
    codes = model.encode(faces)
    for name in model.names:
        for suffix, propagate in (("", True), ("-alone", False)):
            moved = [
                model.set_levels(codes, {name: level}, propagate=propagate)
                for level in np.linspace(0, 1, NUM_VALUES).tolist()
            ]
            frames = np.stack([model.decode(code) for code in moved], axis=1)
            save_grid(folder / f"{slug(name)}{suffix}.png", frames)
