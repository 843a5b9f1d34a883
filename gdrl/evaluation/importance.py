"""Metrics from what a predictor of each factor finds important: DCI and pair entanglement."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.ensemble import GradientBoostingClassifier

from gdrl.evaluation.boosting import Boosted, boost
from gdrl.evaluation.rows import MAX_FIT, MAX_VALUES, as_classes, check_pair, split_rows

Predictor = Literal["binned", "scikit-learn"]
Importance = Float[np.ndarray, "latent factor"]

_NUM_BINS = 10
_NUM_ROUNDS = 100
_FAST_FIT, _FAST_ROUNDS = 2_000, 30
FAST_VALUES = 10
"""Values of a factor up to which ``fast`` takes each for a class."""


@dataclass(frozen=True)
class Dci:
    """The three DCI scores, each in [0, 1], and the importances behind them (columns sum to 1)."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Importance = field(compare=False, repr=False)


@dataclass(frozen=True)
class PairEntanglement:
    """Entanglement of the pair in question, and the median over all other pairs, in [0, 1]."""

    pair: float
    others: float


def dci(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    seed: int = 0,
    *,
    fast: bool = False,
    predictor: Predictor = "binned",
) -> Dci:
    """Disentanglement, completeness and informativeness from feature importances R[i, j].

    ``D = Σ_i share_i (1 - H_k(R_i. / Σ R_i.))``, share_i of all importance: does a latent
    serve one factor. C, the same on columns: does a factor sit in one latent. I: mean
    held-out accuracy. Source: Eastwood & Williams, ICLR 2018; settings of disentanglement_lib:
    gradient-boosted trees (100 rounds, depth 3, learning rate 0.1) on 10,000 images, accuracy on
    5,000; of fewer than 15,000, on two thirds and the rest. Continuous factors come in 10 bins.

    ``predictor``: "binned" is this project's :func:`gdrl.evaluation.boosting.boost`, the same
    algorithm with thresholds between 256 quantile bins; "scikit-learn" the reference itself,
    ``GradientBoostingClassifier``, nine times slower. On 10,000 images they differed by 0.001 in D
    and C and 0.003 in I; on 1,500 noisy ones, over three codes, by at most 0.022 (mean -0.011) in
    D, 0.018 in C and 0.013 in I, since 1,000 images have more values than bins.
    ``fast``: 2,000 images, 30 rounds, factors of more than 10 values in 10 bins. Over six codes of
    10,000 images, D from 0.03 to 0.74, it differed by at most 0.014 in D and C and 0.024 in I; on
    a seventh by 0.062 in I: 30 rounds are too few for codes that know much.

    Pitfalls: the values depend on the predictor (forests, other boosting), never compare across
    predictors; and I is plain accuracy, so a factor that 10 % of the images show gives 0.9 to codes
    that know nothing.

    Raises ValueError for fewer than two latents or two factors, or a factor that does not vary.
    """
    check_pair(codes, factors)
    num_latents, num_factors = codes.shape[1], factors.shape[1]
    if num_latents < 2 or num_factors < 2:
        raise ValueError(f"DCI needs two latents and two factors, not {num_latents}, {num_factors}")
    fit, held_out = split_rows(len(codes), seed, _FAST_FIT if fast else MAX_FIT)
    num_rounds = _FAST_ROUNDS if fast else _NUM_ROUNDS
    importance, accuracies = np.empty((num_latents, num_factors)), np.empty(num_factors)
    for j, factor in enumerate(factors.T):
        classes = as_classes(factor, _NUM_BINS, FAST_VALUES if fast else MAX_VALUES)
        known = np.unique(classes[fit])
        if len(known) < 2:
            raise ValueError(f"factor {j} does not vary over the images that DCI fits on")
        # A class that only held-out images show becomes len(known): it is never predicted.
        ranks = np.full(int(classes.max()) + 1, len(known))
        ranks[known] = np.arange(len(known))
        rows = (codes[fit], ranks[classes[fit]], codes[held_out], ranks[classes[held_out]])
        result = (
            boost(*rows, num_rounds, seed)
            if predictor == "binned"
            else _boost_exactly(*rows, num_rounds, seed)
        )
        importance[:, j], accuracies[j] = result.importance, result.accuracy
    return Dci(
        _concentration(importance),
        _concentration(importance.T),
        float(accuracies.mean()),
        importance,
    )


def pair_entanglement(importance: Importance, pair: tuple[int, int]) -> PairEntanglement:
    """Up to which importance two factors stay tied to each other through the latents.

    In the graph between latents and factors with edges ``R[i, j]`` (from :func:`dci`, columns that
    sum to 1), delete all edges below a threshold; the entanglement of a pair of factors is the
    greatest threshold at which a path still joins them. 0: no latent serves both; 0.5: two latents
    share both evenly; 1: one latent alone. Source: Träuble et al., ICML 2021, section 4, who
    compare the correlated pair with the median of the other pairs. They published no code for it:
    the reading as the highest joining threshold is this project's.

    Pitfall: judge a pair on a set where its factors are *independent*. On correlated images even
    perfect codes tie the two, since either latent predicts both.

    Raises ValueError for fewer than three factors, a pair that is not two of them, or weights
    that are negative or not finite.
    """
    num_factors = importance.shape[1]
    first, second = pair
    if num_factors < 3 or first == second or not {first, second} <= set(range(num_factors)):
        raise ValueError(f"{pair} is not a pair out of three or more factors, but of {num_factors}")
    if not (np.isfinite(importance).all() and (importance >= 0).all()):
        raise ValueError("importances must be finite and not negative")
    joined = _joining_thresholds(importance)
    others = [
        joined[i, j] for i in range(num_factors) for j in range(i) if {i, j} != {first, second}
    ]
    return PairEntanglement(float(joined[first, second]), float(np.median(others)))


def _joining_thresholds(importance: Importance) -> Float[np.ndarray, "factor factor"]:
    """The widest path between every two factors (Floyd-Warshall on max and min)."""
    joined: Float[np.ndarray, "factor factor"] = np.minimum(
        importance[:, :, None], importance[:, None, :]
    ).max(axis=0)
    for via in range(len(joined)):
        joined = np.maximum(joined, np.minimum(joined[:, [via]], joined[[via]]))
    return joined


def _boost_exactly(
    fit: Float[np.ndarray, "image latent"],
    fit_classes: Int[np.ndarray, " image"],
    held_out: Float[np.ndarray, "other latent"],
    held_out_classes: Int[np.ndarray, " other"],
    num_rounds: int,
    seed: int,
) -> Boosted:
    trees = GradientBoostingClassifier(n_estimators=num_rounds, random_state=seed)
    trees.fit(fit, fit_classes)
    return Boosted(trees.feature_importances_, float(trees.score(held_out, held_out_classes)))


def _concentration(importance: Float[np.ndarray, "row column"]) -> float:
    """Mean over rows of one minus the entropy (base: number of columns), weighted by row sums."""
    totals = importance.sum(axis=1, keepdims=True)
    if totals.sum() == 0:
        return 0.0
    shares = np.divide(importance, totals, out=np.zeros_like(importance), where=totals > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    surprise = -(shares * logs).sum(axis=1) / np.log(importance.shape[1])
    return float(((1 - surprise) * totals[:, 0]).sum() / totals.sum())
