"""Metrics that hold one factor fixed: the BetaVAE and FactorVAE scores, from arrays alone.

The papers draw fresh images with a factor held at a value. Here rows are grouped by the factor's
value and drawn, with replacement, from within the group. That is the papers' procedure when the
rows are the full grid or an independent sample of it. When factors are correlated the others follow
along with the one that is held fixed, as no generator would let them: evaluate on an uncorrelated
set. Continuous factors are held fixed to within one of ten bins of equal width. Each value wants
tens of rows: a group of one repeats the same row, whose variance is 0 in every latent.
"""

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.linear_model import LogisticRegression

from gdrl.evaluation.rows import as_classes, check_pair, check_varying

_BATCH_SIZE = 64
_NUM_TRAIN, _NUM_EVAL = 10_000, 5_000
_FAST_DIVISOR = 5
_NUM_BINS = 10
# disentanglement_lib's: latents that move less are taken for collapsed to the prior.
_DEAD_STD = 0.05
_CHUNK = 500  # 500 x 64 rows of 10 latents are 2.5 MB: they stay in the cache


def beta_vae_score(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    *,
    fast: bool = False,
    seed: int = 0,
) -> float:
    """How well ``mean_b |z - z'|`` over 64 pairs that share factor j tells j; held-out accuracy.

    Source: Higgins et al., ICLR 2017, section 3; settings of disentanglement_lib: logistic
    regression on 10,000 points, 5,000 to evaluate; here with up to 1,000 iterations instead of 100.
    ``fast``: 2,000 and 1,000 points; it differed by at most 0.034 (sd 0.015) over 20 codes that
    score from 0.23 to 1.

    Pitfalls: saturates. The classifier may use all latents at once, so each factor need only leave
    a footprint of its own: six factors rotated at random score 0.89 to 0.97. Chance is one over the
    number of factors. Rows are grouped by value, not drawn afresh: see the top of this module.

    Raises ValueError for fewer than two factors or one that does not vary.
    """
    groups = _Groups(codes, factors, "BetaVAE score")
    rng = np.random.default_rng(seed)
    num_train, num_eval = _sizes(fast)
    held = groups.draw_factors(num_train + num_eval, rng)
    points = np.empty((len(held), codes.shape[1]))
    for chunk in _chunks(len(held)):
        size = (len(held[chunk]), _BATCH_SIZE)
        first = rng.integers(len(codes), size=size)
        second = groups.partners(held[chunk], first, rng)
        points[chunk] = np.abs(codes[first] - codes[second]).mean(axis=1)
    classifier = LogisticRegression(max_iter=1_000).fit(points[:num_train], held[:num_train])
    return float(classifier.score(points[num_train:], held[num_train:]))


def factor_vae_score(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    *,
    fast: bool = False,
    seed: int = 0,
    dead_std: float = _DEAD_STD,
) -> float:
    """Does holding a factor fixed still the same latent each time; majority-vote accuracy.

    Each of 64 rows with factor j at one value votes ``argmin_i Var(z_i) / Var_all(z_i)``; the
    classifier gives every latent its most frequent factor and is judged on fresh votes. Source: Kim
    & Mnih, ICML 2018, section 4 and appendix B; settings of disentanglement_lib: 10,000 votes to
    fit, 5,000 to evaluate, latents of standard deviation below ``dead_std`` = 0.05 left out.
    ``disent`` keeps those (``dead_std=0.0``). ``fast``: 2,000 and 1,000 votes; it differed by
    at most 0.044 (sd 0.015) over 20 codes that score from 0.21 to 1.

    Pitfalls: 0.05 is an absolute size, so standardise codes of unusual scale; codes that are all
    dead score 0; any latent that beats the others suffices, entangled or not: six factors rotated
    at random score 0.85 to 0.94; and rows are grouped by value, not drawn afresh: see the top of
    this module.

    Raises ValueError for fewer than two factors or one that does not vary.
    """
    groups = _Groups(codes, factors, "FactorVAE score")
    rng = np.random.default_rng(seed)
    spread = codes.var(axis=0, ddof=1)
    alive = (spread > 0) & (np.sqrt(spread) >= dead_std)
    if not alive.any():
        return 0.0
    scaled = np.ascontiguousarray(codes[:, alive] / np.sqrt(spread[alive]))
    train, held_out = (_votes(groups, scaled, size, rng) for size in _sizes(fast))
    believed = train.argmax(axis=0)
    return float(held_out[believed, np.arange(scaled.shape[1])].sum() / held_out.sum())


def _votes(
    groups: "_Groups",
    scaled: Float[np.ndarray, "image latent"],
    size: int,
    rng: np.random.Generator,
) -> Int[np.ndarray, "factor latent"]:
    held, winners = groups.draw_factors(size, rng), np.empty(size, dtype=np.int64)
    for chunk in _chunks(size):
        anchors = rng.integers(len(scaled), size=(len(held[chunk]), 1))
        rows = groups.partners(held[chunk], np.repeat(anchors, _BATCH_SIZE, axis=1), rng)
        winners[chunk] = scaled[rows].var(axis=1).argmin(axis=1)
    num_latents = scaled.shape[1]
    cells = np.bincount(held * num_latents + winners, minlength=groups.num_factors * num_latents)
    return cells.reshape(groups.num_factors, num_latents)


class _Groups:
    """Rows by the value of each factor."""

    def __init__(
        self,
        codes: Float[np.ndarray, "image latent"],
        factors: Shaped[np.ndarray, "image factor"],
        metric: str,
    ) -> None:
        check_pair(codes, factors)
        check_varying(factors, metric)
        self.num_factors = factors.shape[1]
        if self.num_factors < 2:
            raise ValueError(f"the {metric} needs two factors")
        classes = np.stack([as_classes(factor, _NUM_BINS) for factor in factors.T])
        self._order = np.argsort(classes, axis=1, kind="stable")
        counts = [np.bincount(row) for row in classes]
        # Of the group that each row belongs to, per factor.
        self._size = np.stack([n[row] for n, row in zip(counts, classes, strict=True)])
        self._start = np.stack(
            [(np.cumsum(n) - n)[row] for n, row in zip(counts, classes, strict=True)]
        )

    def draw_factors(self, num: int, rng: np.random.Generator) -> Int[np.ndarray, " num"]:
        return rng.integers(self.num_factors, size=num)

    def partners(
        self,
        held: Int[np.ndarray, " point"],
        rows: Int[np.ndarray, "point batch"],
        rng: np.random.Generator,
    ) -> Int[np.ndarray, "point batch"]:
        """For every row, one with the same value of the factor that its point holds fixed."""
        held = held[:, None]
        offset = (rng.random(rows.shape) * self._size[held, rows]).astype(np.int64)
        partners: Int[np.ndarray, "point batch"] = self._order[
            held, self._start[held, rows] + offset
        ]
        return partners


def _sizes(fast: bool) -> tuple[int, int]:
    divisor = _FAST_DIVISOR if fast else 1
    return _NUM_TRAIN // divisor, _NUM_EVAL // divisor


def _chunks(size: int) -> list[slice]:
    return [slice(start, start + _CHUNK) for start in range(0, size, _CHUNK)]
