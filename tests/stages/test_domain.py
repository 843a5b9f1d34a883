from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from gdrl.config import MLLMRecipe
from gdrl.data.faces import ATTRIBUTES, render, sample_factors
from gdrl.stages.domain import check_domain

PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket", "chelsea")


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([render(row, (9, n)) for n, row in enumerate(sample_factors(24, seed=9))])


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    images = (Image.fromarray(getattr(data, name)()) for name in PHOTOGRAPHS)
    return np.stack([np.asarray(image.convert("RGB").resize((64, 64))) for image in images])


def test_its_own_world_draws_no_warning(faces: np.ndarray) -> None:
    assert check_domain(MLLMRecipe(), faces, ATTRIBUTES).message == ""


def test_photographs_draw_a_warning_with_a_remedy(photographs: np.ndarray) -> None:
    domain = check_domain(MLLMRecipe(), photographs, ATTRIBUTES)
    assert domain.outside_fraction == 1.0
    assert "recipe.mllm.endpoint" in domain.message


def test_unknown_attributes_are_named(faces: np.ndarray) -> None:
    assert "rusty" in check_domain(MLLMRecipe(), faces, ("hat", "rusty")).message


def test_nothing_is_claimed_of_another_model(photographs: np.ndarray, tmp_path: Path) -> None:
    domain = check_domain(MLLMRecipe(model=str(tmp_path)), photographs, ("rusty",))
    assert (domain.checked, domain.message) == (False, "")
