"""Scores to a :class:`CorrelationGraph`: all associations, with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gdrl.errors import DataError
from gdrl.graph.association import Measure, association
from gdrl.graph.correlation_graph import CorrelationGraph

# Resamples per pass: bounds the memory at about 100 * images * attributes * 8 bytes, 14 MB for
# 1,500 images and 12 attributes.
_RESAMPLES_PER_PASS = 100


def build_graph(
    scores: Float[np.ndarray, "image attribute"],
    names: Sequence[str],
    *,
    measure: Measure,
    confidence: float,
    num_bootstrap: int,
    signed: bool,
    seed: int,
) -> CorrelationGraph:
    """Measure every pair of score columns (in [0, 1], NaN where unanswered) and its uncertainty.

    Intervals are percentile bootstraps over images (Efron & Tibshirani 1993, chapter 13): they hold
    the chance in *which* images were scored, not a bias in how the MLLM scores. A resample that
    lost all images of a rare attribute counts as weight 0, which widens the interval towards
    "no edge".

    The keywords mirror ``GraphRecipe``. Raises DataError for fewer than two images, ValueError for
    scores outside [0, 1] or names that do not fit.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < 2:
        raise DataError(f"{len(values)} scored images make no graph: score more images")
    adjacency = association(values, measure)
    tail = (1 - confidence) / 2
    resampled = _resample(values, measure, num_bootstrap, np.random.default_rng(seed))
    lower, upper = np.quantile(resampled, (tail, 1 - tail), axis=0)
    if not signed:
        lower, upper = _magnitude_interval(lower, upper)
        adjacency = np.abs(adjacency)
    return CorrelationGraph(
        names=tuple(names),
        adjacency=adjacency,
        lower=lower,
        upper=upper,
        support=_support(values),
        measure=measure,
        confidence=confidence,
        signed=signed,
    )


def _resample(
    scores: Float[np.ndarray, "image attribute"],
    measure: Measure,
    num_bootstrap: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, "resample attribute attribute"]:
    num_images = len(scores)
    uniform = np.full(num_images, 1 / num_images)
    passes = []
    for start in range(0, num_bootstrap, _RESAMPLES_PER_PASS):
        size = min(_RESAMPLES_PER_PASS, num_bootstrap - start)
        counts = rng.multinomial(num_images, uniform, size=size).astype(np.float64)
        passes.append(association(scores, measure, counts))
    return np.concatenate(passes)


def _magnitude_interval(
    lower: Float[np.ndarray, "attribute attribute"],
    upper: Float[np.ndarray, "attribute attribute"],
) -> tuple[Float[np.ndarray, "attribute attribute"], Float[np.ndarray, "attribute attribute"]]:
    """The image of [lower, upper] under |.|; quantiles of |weight| would never reach down to 0."""
    holds_zero = (lower <= 0) & (upper >= 0)
    nearest = np.minimum(np.abs(lower), np.abs(upper))
    return np.where(holds_zero, 0.0, nearest), np.maximum(np.abs(lower), np.abs(upper))


def _support(
    scores: Float[np.ndarray, "image attribute"],
) -> Float[np.ndarray, "attribute attribute"]:
    # The sum of scores, not Kish's (sum s)^2 / sum s^2: that one calls a column of 0.05 everywhere
    # "all 1,500 images", although none shows the attribute; the sum says 75.
    answered = ~np.isnan(scores)
    shown: Float[np.ndarray, "attribute attribute"] = np.nan_to_num(scores).T @ answered
    return shown
