"""Set an attribute, let the graph move the others, decode: pictures behind the report's slider."""

from pathlib import Path

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
    for name in model.names:
        for suffix, propagate in (("", True), ("-alone", False)):
            frames = model.traverse(name, faces, NUM_VALUES, propagate=propagate)
            save_grid(folder / f"{slug(name)}{suffix}.png", frames)
