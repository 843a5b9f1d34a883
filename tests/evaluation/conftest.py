"""Codes whose scores are known: the extremes every metric has to tell apart."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.linalg import hadamard


@pytest.fixture(scope="session")
def grid() -> np.ndarray:
    """Every combination of four factors of 4 values, six times: 1,536 images."""
    return np.tile(np.indices((4, 4, 4, 4)).reshape(4, -1).T, (6, 1))


@pytest.fixture(scope="session")
def standard(grid: np.ndarray) -> np.ndarray:
    return (grid - grid.mean(axis=0)) / grid.std(axis=0)


@pytest.fixture(scope="session")
def blurred() -> Callable[..., np.ndarray]:
    """The codes with a little noise, so that no two images coincide."""

    def blur(codes: np.ndarray, scale: float = 0.05) -> np.ndarray:
        return codes + scale * np.random.default_rng(3).normal(size=codes.shape)

    return blur


@pytest.fixture(scope="session")
def identity(standard: np.ndarray, blurred: Callable[..., np.ndarray]) -> np.ndarray:
    return blurred(standard)


@pytest.fixture(scope="session")
def permuted(identity: np.ndarray) -> np.ndarray:
    """The same in another order, turned around."""
    return -identity[:, [2, 0, 3, 1]]


@pytest.fixture(scope="session")
def rotated(standard: np.ndarray, blurred: Callable[..., np.ndarray]) -> np.ndarray:
    """Every latent holds as much of every factor."""
    return blurred(standard @ (hadamard(4) / 2))


@pytest.fixture(scope="session")
def duplicated(standard: np.ndarray, blurred: Callable[..., np.ndarray]) -> np.ndarray:
    return blurred(np.hstack([standard, standard]))


@pytest.fixture(scope="session")
def with_dead(identity: np.ndarray) -> np.ndarray:
    return np.hstack([identity, np.zeros((len(identity), 2))])


@pytest.fixture(scope="session")
def constant(grid: np.ndarray) -> np.ndarray:
    return np.zeros(grid.shape)


@pytest.fixture(scope="session")
def unrelated(grid: np.ndarray) -> np.ndarray:
    return np.random.default_rng(4).normal(size=grid.shape)
