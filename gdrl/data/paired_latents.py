"""Pairs of latents: one drawn from a marginal, its partner from a conditional around it.

Both in one of three spaces: on the unit sphere, in the unit box, in R^n. Source of the settings:
Zimmermann et al. (ICML 2021), whose samplers the study of arXiv 2402.06223 descends from.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from gdrl.config import PairedLatentsRecipe

Rows = Float[np.ndarray, "pair latent"]
POWER = 3
"""Of the generalised normal, density exp(-|x / scale|^3)."""


class Pairs(NamedTuple):
    """Latents of paired observations, a row a pair."""

    first: Rows
    second: Rows
    first_private: Float[np.ndarray, "pair private"]
    second_private: Float[np.ndarray, "pair private"]


def draw_pairs(recipe: PairedLatentsRecipe, num_pairs: int, rng: np.random.Generator) -> Pairs:
    """Draw shared latents of both modalities, and what each has for itself."""
    first = draw_marginal(recipe, num_pairs, rng)
    second = draw_conditional(recipe, first, rng)
    private = rng.standard_normal((2, num_pairs, recipe.private_dim))
    return Pairs(first, second, private[0], private[1])


def draw_marginal(recipe: PairedLatentsRecipe, num_pairs: int, rng: np.random.Generator) -> Rows:
    """The first modality's shared latents.

    The projected normal is the uniform distribution of the sphere; a Laplace or generalised normal
    one, projected, is not.
    """
    shape = (num_pairs, recipe.dim)
    if recipe.space == "box":
        if recipe.marginal == "uniform":
            return rng.random(shape)
        middle = np.full(shape, 0.5)
        return _confined(middle, recipe.marginal, recipe.marginal_scale, rng)
    law = "normal" if recipe.marginal == "uniform" else recipe.marginal
    drawn = noise(law, shape, recipe.marginal_scale, rng)
    return _projected(drawn) if recipe.space == "sphere" else drawn


def draw_conditional(recipe: PairedLatentsRecipe, around: Rows, rng: np.random.Generator) -> Rows:
    """The second modality's shared latents, given the first's."""
    law, scale = recipe.conditional, recipe.conditional_scale
    if law == "vmf":
        return von_mises_fisher(around, 1 / scale, rng)
    if recipe.space == "box":
        return _confined(around, law, scale, rng)
    moved = around + noise(law, around.shape, scale, rng)
    return _projected(moved) if recipe.space == "sphere" else moved


def noise(law: str, shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Independent draws around 0; a power of a generalised normal is a gamma variable."""
    if law == "normal":
        return rng.normal(0.0, scale, shape)
    if law == "laplace":
        return rng.laplace(0.0, scale, shape)
    magnitudes = rng.gamma(1 / POWER, size=shape) ** (1 / POWER)
    return scale * np.where(rng.random(shape) < 0.5, -magnitudes, magnitudes)


def von_mises_fisher(means: Rows, kappa: float, rng: np.random.Generator) -> Rows:
    """A draw around each mean, density exp(kappa mean . x) on the sphere (Wood 1994)."""
    num_pairs, dim = means.shape
    along = _cosines(num_pairs, dim, kappa, rng)[:, None]
    across = rng.standard_normal(means.shape)
    across = _projected(across - (across * means).sum(axis=1, keepdims=True) * means)
    drawn: Rows = along * means + np.sqrt(1 - along**2) * across
    return drawn


def _cosines(
    number: int, dim: int, kappa: float, rng: np.random.Generator
) -> Float[np.ndarray, " pair"]:
    """Of the angles between draws and means: Wood's rejection, about two thirds are accepted."""
    width = dim - 1
    b = width / (2 * kappa + np.sqrt(4 * kappa**2 + width**2))
    x = (1 - b) / (1 + b)
    bound = kappa * x + width * np.log(1 - x**2)
    cosines = np.empty(number)
    missing = np.arange(number)
    while len(missing):
        beta = rng.beta(width / 2, width / 2, len(missing))
        proposed = (1 - (1 + b) * beta) / (1 - (1 - b) * beta)
        height = kappa * proposed + width * np.log(1 - x * proposed) - bound
        accepted = height >= np.log(rng.random(len(missing)))
        cosines[missing[accepted]] = proposed[accepted]
        missing = missing[~accepted]
    return cosines


def _confined(around: Rows, law: str, scale: float, rng: np.random.Generator) -> Rows:
    """Draws around each value that lie in [0, 1]; coordinates are independent, so one by one."""
    flat = around.ravel()
    drawn = np.empty_like(flat)
    missing = np.arange(len(flat))
    while len(missing):
        proposed = flat[missing] + noise(law, missing.shape, scale, rng)
        inside = (proposed >= 0) & (proposed <= 1)
        drawn[missing[inside]] = proposed[inside]
        missing = missing[~inside]
    return drawn.reshape(around.shape)


def _projected(rows: Rows) -> Rows:
    projected: Rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return projected
