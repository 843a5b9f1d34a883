"""Metrics of linear recovery: R² of all latents together, correlation of matched pairs."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.linear_model import LinearRegression

from gdrl.evaluation.rows import check_pair, check_varying


def r2(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    *,
    held_out: bool = False,
    seed: int = 0,
) -> float:
    """Share of the factors' variance that a linear map of the latents explains, mean over factors.

    ``mean_j 1 - Σ (v_j - v̂_j)² / Σ (v_j - mean)²`` with ordinary least squares. Source: the
    identifiability literature (Zimmermann et al., ICML 2021, whose code fits and scores on the same
    4,096 samples; all images given are used here). ``held_out``: fit on a random half, score on
    the other. Closed form: no ``fast`` setting.

    Pitfall: invariant to any invertible linear map, so it cannot see entanglement; and without
    ``held_out`` it rises with the number of latents, by about latents / images for pure noise.

    Raises ValueError when a factor does not vary, or not within each half.
    """
    check_pair(codes, factors)
    check_varying(factors, "R²")
    fit = scored = np.arange(len(codes))
    if held_out:
        fit, scored = np.array_split(np.random.default_rng(seed).permutation(len(codes)), 2)
        check_varying(factors[scored], "R² on the held-out half")
    model = LinearRegression().fit(codes[fit], factors[fit])
    return float(model.score(codes[scored], factors[scored]))


def mcc(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    *,
    measure: Literal["pearson", "spearman"] = "pearson",
) -> float:
    """Mean correlation coefficient: mean |corr| of factors with a latent of their own, in [0, 1].

    Latents are assigned one-to-one (Hungarian); a factor without one counts 0, and so does a
    constant latent. Source: Hyvärinen & Morioka, NeurIPS 2016; Zimmermann et al., ICML 2021.
    "spearman" is invariant to monotone maps of a latent. Closed form: no ``fast`` setting.

    Pitfall: chance is far from 0 with many latents or few images (0.18 for 10 latents of noise, six
    factors and 100 images), and a factor of unordered values (shape, identity) has no correlation
    to find however well it is encoded.

    Raises ValueError when a factor does not vary.
    """
    check_pair(codes, factors)
    check_varying(factors, "MCC")
    ranks = measure == "spearman"
    z, v = (_standard(rankdata(x, axis=0) if ranks else x) for x in (codes, factors))
    correlation = np.abs(z.T @ v) / len(codes)
    rows, columns = linear_sum_assignment(correlation, maximize=True)
    return float(min(1.0, correlation[rows, columns].sum() / factors.shape[1]))


def _standard(columns: Shaped[np.ndarray, "image column"]) -> Float[np.ndarray, "image column"]:
    centered: Float[np.ndarray, "image column"] = columns - columns.mean(axis=0, dtype=np.float64)
    deviation = centered.std(axis=0)
    return centered / np.where(deviation > 0, deviation, np.inf)
