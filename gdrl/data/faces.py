"""The synthetic world ``faces``: 64x64 faces whose attributes follow a declared causal model.

::

    sample_factors(num, seed, independent=False, model=MODEL) -> int8 (num, k) of 0/1
    render(factors, nuisance_seed, style="toon", size=64) -> uint8 (size, size, 3)
    render_pair(factors, attribute, nuisance_seed, style="toon", size=64) -> (off, on)
    render_rows(factors, seed, style="toon", size=64, first=0) -> iterator of uint8 images
    population_association(model), interventional(model), prevalence(model)

``factors`` is one row of ``sample_factors``, its columns in the order of ``ATTRIBUTES``;
``nuisance_seed`` is an int or a tuple of ints. Everything is seeded: same arguments, same bytes.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from jaxtyping import Int8, Integer, UInt8

from gdrl.config import DatasetRecipe
from gdrl.data.causal_model import (
    CausalModel,
    Mechanism,
    interventional,
    population_association,
    prevalence,
    reverse,
)
from gdrl.data.face_styles import FACE_STYLES
from gdrl.data.faces_art import NUISANCES, attribution, draw
from gdrl.data.pictures import encode_png
from gdrl.data.source import CHUNK, Found, ImageSource, cut
from gdrl.data.table import Truth
from gdrl.errors import DataError

__all__ = [
    "ATTRIBUTES",
    "DEFAULT_STYLE",
    "MODEL",
    "STYLES",
    "attribution",
    "interventional",
    "population_association",
    "prevalence",
    "render",
    "render_pair",
    "render_rows",
    "reversed_model",
    "sample_factors",
]

MODEL = CausalModel(
    (
        Mechanism("dark background", (0.45,)),
        Mechanism("dark skin", (0.40,)),
        Mechanism("blond hair", (0.40,)),
        Mechanism("red shirt", (0.50,)),
        Mechanism("long hair", (0.50,)),
        Mechanism("glasses", (0.35,)),
        Mechanism("hat", (0.03, 0.44), ("red shirt",)),
        Mechanism("earrings", (0.02, 0.48), ("long hair",)),
        Mechanism("beard", (0.47, 0.03), ("long hair",)),
        Mechanism("bow tie", (0.04, 0.46), ("glasses",)),
        Mechanism("closed eyes", (0.03, 0.50), ("dark background",)),
        Mechanism("smiling", (0.62, 0.06), ("closed eyes",)),
    )
)
"""The default model: a common cause (long hair), a chain (dark background -> closed eyes ->
smiling), two lone edges, and two attributes that depend on nothing.

A rare effect of a common cause makes an asymmetric pair: both directions share one covariance and
divide it by the variance of their own condition.
"""

ATTRIBUTES = MODEL.names
STYLES = tuple(FACE_STYLES)
DEFAULT_STYLE = STYLES[0]


def reversed_model() -> CausalModel:
    """The default graph with every causal effect of opposite sign."""
    return reverse(MODEL)


def sample_factors(
    num: int, seed: int, *, independent: bool = False, model: CausalModel = MODEL
) -> Int8[np.ndarray, "num k"]:
    """Draw ``num`` rows of 0/1 attributes, columns as in ``ATTRIBUTES``."""
    return model.sample(num, seed, independent=independent)


def render(
    factors: Sequence[int] | Integer[np.ndarray, " k"],
    nuisance_seed: int | tuple[int, ...],
    style: str = DEFAULT_STYLE,
    size: int = 64,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw one face; what no attribute fixes comes from ``nuisance_seed``.

    Raises:
        DataError: ``factors`` has not one value per attribute, or no such style.
    """
    if len(factors) != len(ATTRIBUTES):
        raise DataError(f"a face has {len(ATTRIBUTES)} attributes, not {len(factors)}")
    uniform = np.random.default_rng(nuisance_seed).random(len(NUISANCES))
    on = {name: bool(value) for name, value in zip(ATTRIBUTES, factors, strict=True)}
    return draw(on, dict(zip(NUISANCES, uniform.tolist(), strict=True)), style, size)


def render_pair(
    factors: Sequence[int] | Integer[np.ndarray, " k"],
    attribute: str,
    nuisance_seed: int | tuple[int, ...],
    style: str = DEFAULT_STYLE,
    size: int = 64,
) -> tuple[UInt8[np.ndarray, "size size 3"], UInt8[np.ndarray, "size size 3"]]:
    """The same face twice: with ``attribute`` off, and with it on.

    Raises:
        DataError: no such attribute.
    """
    if attribute not in ATTRIBUTES:
        raise DataError(f"no attribute {attribute!r}; choose one of {', '.join(ATTRIBUTES)}")
    off = [int(value) for value in factors]
    on = list(off)
    off[ATTRIBUTES.index(attribute)], on[ATTRIBUTES.index(attribute)] = 0, 1
    return render(off, nuisance_seed, style, size), render(on, nuisance_seed, style, size)


def face_images(recipe: DatasetRecipe, model: CausalModel = MODEL) -> ImageSource:
    """The images of a recipe, to be drawn; ``model`` declares the attributes of ``MODEL``.

    Raises:
        DataError: no such style.
    """
    style = DEFAULT_STYLE if recipe.style == "default" else recipe.style
    factors = sample_factors(recipe.num_images, recipe.seed, model=model)
    draw = partial(_draw_chunk, recipe.seed, style, recipe.image_size)
    return ImageSource(
        draw,
        chunks=[(place * CHUNK, chunk) for place, chunk in enumerate(cut(factors))],
        num_images=len(factors),
        names=ATTRIBUTES,
        values=factors,
        kind="world",
        style=style,
        truth=Truth(
            adjacency=population_association(model).tolist(),
            interventional=interventional(model).tolist(),
            prevalence=prevalence(model).tolist(),
        ),
        attribution=attribution(style),
    )


def render_rows(
    factors: Integer[np.ndarray, "num k"],
    seed: int,
    style: str = DEFAULT_STYLE,
    size: int = 64,
    first: int = 0,
) -> Iterator[UInt8[np.ndarray, "size size 3"]]:
    """Draw every row in order.

    Row r has the nuisance seed (seed, first + r): rows drawn apart are those drawn together.
    """
    for row, chosen in enumerate(factors, start=first):
        yield render(chosen, (seed, row), style, size)


def _draw_chunk(
    seed: int, style: str, size: int, chunk: tuple[int, Int8[np.ndarray, "rows k"]]
) -> Iterator[Found]:
    first, factors = chunk
    for pixels in render_rows(factors, seed, style, size, first):
        yield Found(None, encode_png(pixels))
