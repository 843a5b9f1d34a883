"""Pictures of the world, and a tiny LLaVA with random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from numpy import ndarray

from gdrl.data.faces import render, sample_factors
from gdrl.data.pictures import encode_png
from gdrl.mllm.transformers_engine import TransformersEngine
from gdrl.training.tiny_llava.architecture import build
from gdrl.training.tiny_llava.export import export


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def faces() -> UInt8[ndarray, "4 64 64 3"]:
    """Four faces."""
    return np.stack([render(row, (7, i)) for i, row in enumerate(sample_factors(4, 7))])


@pytest.fixture(scope="session")
def images(faces: UInt8[ndarray, "4 64 64 3"]) -> list[bytes]:
    """The same faces as PNG bytes."""
    return [encode_png(face) for face in faces]


@pytest.fixture(scope="session")
def random_llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of an untrained tiny LLaVA."""
    path = tmp_path_factory.mktemp("models") / "random-llava"
    export(*build(0), path)
    return path


@pytest.fixture(scope="session")
def engine(random_llava: Path) -> TransformersEngine:
    """The untrained tiny LLaVA, ready to answer."""
    return TransformersEngine(random_llava, batch_size=3)
