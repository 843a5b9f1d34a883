"""What the metrics agree on: which arrays pair up, when a factor is a class, which rows to use."""

import numpy as np
from jaxtyping import Bool, Int, Shaped

# dSprites' orientation has 40 values and the literature takes every one as a class of its own.
MAX_VALUES = 64
# disentanglement_lib fits on 10,000 images and holds out 5,000.
MAX_FIT = 10_000


def check_pair(codes: Shaped[np.ndarray, "..."], factors: Shaped[np.ndarray, "..."]) -> None:
    """Raise ValueError unless both are finite (image, column) numbers of the same length."""
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors) or not len(codes):
        raise ValueError(f"codes {codes.shape} and factors {factors.shape} do not pair up")
    if not (np.isfinite(codes).all() and np.isfinite(factors).all()):
        raise ValueError("codes or factors hold a number that is not finite")


def varying(factors: Shaped[np.ndarray, "image factor"]) -> Bool[np.ndarray, " factor"]:
    """Which factors take more than one value."""
    moves: Bool[np.ndarray, " factor"] = (factors != factors[:1]).any(axis=0)
    return moves


def check_varying(factors: Shaped[np.ndarray, "image factor"], metric: str) -> None:
    """Raise ValueError, naming the factor, unless all of them vary."""
    still = np.flatnonzero(~varying(factors))
    if len(still):
        raise ValueError(f"factor {still[0]} does not vary: {metric} is undefined")


def binned(values: Shaped[np.ndarray, " image"], num_bins: int) -> Int[np.ndarray, " image"]:
    """The bin of each value, 0 to ``num_bins`` - 1; bins of equal width from least to greatest."""
    edges = np.histogram_bin_edges(values.astype(np.float64), num_bins)
    bins: Int[np.ndarray, " image"] = np.digitize(values, edges[1:-1])
    return bins


def most_classes(num_images: int, max_values: int = MAX_VALUES) -> int:
    """How many values of a factor are classes; with more, or a new one every other image, bins."""
    return max(2, min(max_values, num_images // 2))


def as_classes(
    factor: Shaped[np.ndarray, " image"], num_bins: int, max_values: int = MAX_VALUES
) -> Int[np.ndarray, " image"]:
    """The factor as classes 0, 1, …: its values as they are, or ``num_bins`` bins if continuous."""
    values, classes = np.unique(factor, return_inverse=True)
    if len(values) <= most_classes(len(factor), max_values):
        return classes
    return np.unique(binned(factor, num_bins), return_inverse=True)[1]


def split_rows(
    num_images: int, seed: int, max_fit: int = MAX_FIT
) -> tuple[Int[np.ndarray, " fit"], Int[np.ndarray, " held_out"]]:
    """Random rows to fit on and half as many held out: the literature's 10,000 and 5,000 at most.

    Fewer than 15,000 images are split two to one. Raises ValueError for fewer than three.
    """
    if num_images < 3:
        raise ValueError(f"of {num_images} images none can be held out: three are the least")
    rows = np.random.default_rng(seed).permutation(num_images)[: max_fit + max_fit // 2]
    fit, held_out = np.split(rows, [-(-2 * len(rows) // 3)])
    return fit, held_out
