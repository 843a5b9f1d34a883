"""Metrics for 0/1 attributes, from the AUROC of a latent as their detector."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from scipy.optimize import linear_sum_assignment

from gdrl.evaluation.information import entropies, mutual_information
from gdrl.evaluation.rows import check_pair
from gdrl.graph.matching import auroc

_DEAD_RANGE = 0.2
_MIN_AUROC = 0.75
_MAX_SHARED = 0.2


@dataclass(frozen=True)
class Tad:
    """The TAD score, a sum, and the number of attributes that were captured and summed over."""

    score: float
    num_captured: int


def attribute_auroc(
    codes: Float[np.ndarray, "image latent"], factors: Shaped[np.ndarray, "image factor"]
) -> Float[np.ndarray, " factor"]:
    """AUROC of each 0/1 factor by a latent of its own, in [0.5, 1]: the better of z and -z.

    Latents are given to factors one-to-one (Hungarian on ``|2 AUROC - 1|``), so that one entangled
    latent cannot account for two factors; factors left over when latents run out get 0.5. Factors
    with values in between count as shown above 0.5. After NashAE's A_aj (Yeats et al., ECCV 2022),
    which lacks the assignment.

    Pitfall: choosing the best of many latents lifts chance above 0.5 when few images show the
    factor: of 20 latents of noise, to 0.65 with 20 images of 1,000, to 0.8 with 10 of 20.
    """
    check_pair(codes, factors)
    strengths = np.abs(2 * auroc(codes, factors) - 1)
    areas = np.full(factors.shape[1], 0.5)
    rows, columns = linear_sum_assignment(strengths, maximize=True)
    areas[columns] = 0.5 + strengths[rows, columns] / 2
    return areas


def tad(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    dead_range: float = _DEAD_RANGE,
) -> Tad:
    """Total AUROC difference, ``Σ_a (A_a,1st - A_a,2nd)`` over the captured attributes a.

    ``A_aj = max(AUROC(z_j), AUROC(-z_j))``, 0.5 for a latent whose range is at most ``dead_range``.
    Captured: ``A_a,1st >= 0.75`` and no other attribute tells more than 20 % of it,
    ``max_b I(a; b) / H(a) <= 0.2``. Source: Yeats et al. (NashAE), ECCV 2022, section 5, and their
    script, which uses 1,000 images, a range of 0.2 and a grid of thresholds for each AUROC; here
    all images given, and all thresholds. By ranking: no ``fast`` setting.

    Pitfalls: a sum, so it grows with the number of attributes: report ``num_captured`` beside it;
    the range is absolute, so standardise codes of unusual scale or pass ``dead_range=0``; published
    numbers mix 1,000 images with 10,000 in five folds.

    Raises ValueError when an attribute holds a value other than 0 and 1.
    """
    check_pair(codes, factors)
    if not np.isin(factors, (0, 1)).all():
        raise ValueError("TAD is defined for attributes that are 0 or 1")
    shown = factors.astype(np.int64)
    areas = 0.5 + np.abs(auroc(codes, factors) - 0.5)
    areas[np.ptp(codes, axis=0) <= dead_range] = 0.5
    ranked = np.sort(np.vstack([np.full_like(areas[:1], 0.5), areas]), axis=0)
    shared, entropy = mutual_information(shown, shown), entropies(shown)
    np.fill_diagonal(shared, 0.0)
    told = np.divide(shared.max(axis=1), entropy, out=np.ones_like(entropy), where=entropy > 0)
    captured = (ranked[-1] >= _MIN_AUROC) & (told <= _MAX_SHARED)
    return Tad(float((ranked[-1] - ranked[-2])[captured].sum()), int(captured.sum()))
