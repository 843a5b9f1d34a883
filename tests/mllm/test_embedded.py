import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from transformers import AutoModelForImageTextToText

from gdrl.config import MLLMRecipe
from gdrl.data.faces import ATTRIBUTES, STYLES, render, render_pair, sample_factors
from gdrl.data.pictures import encode_png
from gdrl.mllm import embedded
from gdrl.mllm.engine import Engine
from gdrl.mllm.open import open_engine
from gdrl.mllm.questions import NONE, expectation, naming_query, score_query

SEED = 424_242


@pytest.fixture(scope="module")
def shipped() -> Engine:
    """The model that this package ships."""
    return open_engine(MLLMRecipe())


def test_it_is_an_ordinary_llava_directory() -> None:
    model, info = AutoModelForImageTextToText.from_pretrained(
        embedded.directory(), output_loading_info=True
    )
    assert type(model).__name__ == "LlavaForConditionalGeneration"
    assert not any(info.values())
    assert (embedded.directory() / "model.safetensors").stat().st_size < 10_000_000


def test_its_vocabulary_is_the_world() -> None:
    assert set(embedded.known_attributes()) == set(ATTRIBUTES)
    assert embedded.unknown_attributes(["Hat", "moustache", "smiling"]) == ("moustache",)


@pytest.mark.parametrize("style", STYLES)
def test_it_sees_the_attributes_of_new_faces(shipped: Engine, style: str) -> None:
    factors = sample_factors(30, SEED, independent=True)
    images = [encode_png(render(row, (SEED, i), style)) for i, row in enumerate(factors)]
    queries = [score_query(image, name) for image in images for name in ATTRIBUTES]
    levels = np.array([expectation(answer) for answer in shipped.answer(queries)])
    right = (levels.reshape(factors.shape) > 2.5) == factors
    assert right.mean() > 0.97


@pytest.mark.parametrize("style", STYLES)
def test_it_names_what_changes(shipped: Engine, style: str) -> None:
    strips, truth = [], []
    for i, row in enumerate(sample_factors(36, SEED, independent=True)):
        name = ATTRIBUTES[i % len(ATTRIBUTES)]
        off, on = render_pair(row, name, (SEED, i), style)
        strips.append([encode_png(off), encode_png(on)])
        truth.append(name)
    answers = shipped.answer([naming_query(strip, ATTRIBUTES) for strip in strips])
    named = [(*ATTRIBUTES, NONE)[int(np.argmax(a.probabilities or ()))] for a in answers]
    assert np.mean([a == b for a, b in zip(named, truth, strict=True)]) > 0.9


def test_two_equal_pictures_show_no_change(shipped: Engine) -> None:
    factors = sample_factors(20, SEED, independent=True)
    faces = [encode_png(render(row, (SEED, i))) for i, row in enumerate(factors)]
    answers = shipped.answer([naming_query([face, face], ATTRIBUTES) for face in faces])
    assert np.mean([np.argmax(a.probabilities or ()) == len(ATTRIBUTES) for a in answers]) > 0.9


def test_faces_are_inside_its_domain_and_photographs_outside() -> None:
    factors = sample_factors(60, SEED)
    faces = np.stack([render(row, (SEED, i)) for i, row in enumerate(factors)])
    photographs = [data.cat(), data.coffee(), data.rocket(), data.camera(), data.moon()]
    small = np.stack(
        [np.asarray(Image.fromarray(p).convert("RGB").resize((64, 64))) for p in photographs]
    )
    assert embedded.outside_domain(faces).mean() < 0.05
    assert embedded.outside_domain(small).all()


def test_its_card_states_the_measured_figures() -> None:
    card = (embedded.directory() / "README.md").read_text("utf-8")
    assert "jobs/train_tiny_mllm.py" in card
    record = json.loads((embedded.directory() / "training.json").read_text("utf-8"))
    assert record["plan"]["seed"] >= 0


def test_its_weights_are_bf16() -> None:
    model = AutoModelForImageTextToText.from_pretrained(embedded.directory(), dtype="auto")
    assert model.dtype == torch.bfloat16
