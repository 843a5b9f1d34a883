"""Metrics from linear classifiers: SAP (one latent at a time) and explicitness (all together)."""

import numpy as np
from jaxtyping import Float, Int, Shaped
from sklearn.linear_model import LogisticRegression

from gdrl.evaluation.rows import MAX_FIT, as_classes, check_pair, check_varying, split_rows
from gdrl.evaluation.svm import accuracy_of_one_feature
from gdrl.graph.matching import auroc

_NUM_BINS = 10
_FAST_FIT = 2_000


def sap(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    *,
    continuous: bool = False,
    seed: int = 0,
) -> float:
    """Separated attribute predictability, ``mean_j (S_1st,j - S_2nd,j)``, in [0, 1].

    ``S_ij``: held-out accuracy of a linear SVM (C = 0.01, balanced classes) that sees latent i
    alone; with ``continuous``, their squared correlation over all images instead. Source: Kumar et
    al. (DIP-VAE), ICLR 2018, section 3; settings of disentanglement_lib: 10,000 images to fit,
    5,000 held out, factors of more than 64 values in 10 bins. There is no ``fast`` setting: in one
    dimension the SVM's optimum costs a sort. scikit-learn's ``LinearSVC``, which ``disent`` uses,
    stops a little before that optimum: SAP differed by at most 0.0001 over five codes.

    Pitfalls: differences of accuracies are small, 0.1 is a high score where the literature has
    0.05 to 0.14; C = 0.01 shrinks latents of small scale, so standardise what is not
    unit-variance; and an accuracy gap is 0 where both latents only reach the base rate.

    Raises ValueError for fewer than two latents, or when a factor does not vary.
    """
    check_pair(codes, factors)
    check_varying(factors, "SAP")
    if codes.shape[1] < 2:
        raise ValueError("SAP needs two latents")
    if continuous:
        scores = _squared_correlation(codes, factors)
    else:
        scores = _svm_accuracies(codes, factors, seed)
    ranked = np.sort(scores, axis=0)
    return float((ranked[-1] - ranked[-2]).mean())


def explicitness(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    *,
    fast: bool = False,
    seed: int = 0,
) -> float:
    """Can each value of a factor be read off linearly: held-out one-versus-rest AUROC, 0.5 to 1.

    For every value of a factor, logistic regression on all latents, standardised, of that value
    against the rest; AUROC averaged over values, then over factors. Source: Ridgeway & Mozer,
    NeurIPS 2018, section 3 (who rescale to 2 AUROC - 1), and disentanglement_lib's settings:
    10,000 images to fit, 5,000 held out; here with up to 1,000 iterations instead of 100. Under
    scikit-learn of 0.22 and later that library fits one multinomial model instead, which finds the
    middle values of an ordered factor and scores higher.
    ``fast``: 2,000 and 1,000 images; it differed by at most 0.017 (sd 0.005) over 20 codes.

    Pitfall: says nothing about disentanglement, rotated codes score as high as perfect ones; and a
    middle value of an ordered factor is no half-space, so that even perfect scalar codes stay well
    below 1 (0.8 for five values).

    Raises ValueError when a factor does not vary.
    """
    check_pair(codes, factors)
    check_varying(factors, "explicitness")
    fit, held_out = split_rows(len(codes), seed, _FAST_FIT if fast else MAX_FIT)
    center, scale = codes[fit].mean(axis=0), codes[fit].std(axis=0)
    standard = (codes - center) / np.where(scale > 0, scale, 1.0)
    areas = []
    for j, factor in enumerate(factors.T):
        classes = as_classes(factor, _NUM_BINS)
        if len(np.unique(classes[fit])) < 2:
            raise ValueError(f"factor {j} does not vary over the images that are fitted on")
        areas.append(
            _mean_auroc(standard[fit], classes[fit], standard[held_out], classes[held_out])
        )
    return float(np.mean(areas))


def _mean_auroc(
    fit: Float[np.ndarray, "image latent"],
    fit_classes: Int[np.ndarray, " image"],
    held_out: Float[np.ndarray, "other latent"],
    held_out_classes: Int[np.ndarray, " other"],
) -> float:
    """Of one classifier per value against the rest, over the values that both halves show."""
    values = np.unique(fit_classes)
    areas = []
    for value in values[1:] if len(values) == 2 else values:
        shown = (held_out_classes == value).astype(np.float64)
        if 0 < shown.mean() < 1:
            model = LogisticRegression(max_iter=1_000).fit(fit, fit_classes == value)
            areas.append(auroc(model.decision_function(held_out)[:, None], shown[:, None])[0, 0])
    return float(np.mean(areas)) if areas else 0.5


def _svm_accuracies(
    codes: Float[np.ndarray, "image latent"],
    factors: Shaped[np.ndarray, "image factor"],
    seed: int,
) -> Float[np.ndarray, "latent factor"]:
    fit, held_out = split_rows(len(codes), seed)
    accuracies = np.empty((codes.shape[1], factors.shape[1]))
    for j, factor in enumerate(factors.T):
        classes = as_classes(factor, _NUM_BINS)
        if len(np.unique(classes[fit])) < 2:
            raise ValueError(f"factor {j} does not vary over the images that SAP fits on")
        for i, code in enumerate(codes.T):
            accuracies[i, j] = accuracy_of_one_feature(
                code[fit], classes[fit], code[held_out], classes[held_out]
            )
    return accuracies


def _squared_correlation(
    codes: Float[np.ndarray, "image latent"], factors: Shaped[np.ndarray, "image factor"]
) -> Float[np.ndarray, "latent factor"]:
    z, v = codes - codes.mean(axis=0), factors - factors.mean(axis=0)
    spread = np.outer((z**2).sum(axis=0), (v**2).sum(axis=0))
    squares: Float[np.ndarray, "latent factor"] = np.divide(
        (z.T @ v) ** 2, spread, out=np.zeros_like(spread), where=spread > 0
    )
    return squares
