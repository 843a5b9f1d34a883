"""The model in this package: where it lies, what it knows, and where it is blind.

It was trained by ``jobs/train_tiny_mllm.py`` on the synthetic world ``faces`` alone, with
attributes drawn independently. Elsewhere its answers are chance, so ask :func:`outside_domain`
and :func:`unknown_attributes` first.
"""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from PIL import Image
from safetensors.numpy import load_file

from gdrl.mllm.questions import NONE

if TYPE_CHECKING:
    from gdrl.mllm.transformers_engine import TransformersEngine

NAME = "embedded"

CARD = (
    "A LLaVA of 3.8 million parameters, trained for this package on drawn 64x64 faces (world "
    "'faces', both styles) with independent attributes. It scores and names the attributes of that "
    "world. On any other picture, and for any other attribute, its answers are chance: use a "
    "real MLLM there (recipe.mllm)."
)


def directory() -> Path:
    """The model's directory, as ``save_pretrained`` writes it, with its card in ``README.md``."""
    return Path(__file__).parent / "tiny_llava"


@cache
def known_attributes() -> tuple[str, ...]:
    """The attribute names in its vocabulary."""
    tokenizer = json.loads((directory() / "tokenizer.json").read_text("utf-8"))
    names = [token["content"] for token in tokenizer["added_tokens"] if not token["special"]]
    return tuple(name for name in names if name != NONE)


def unknown_attributes(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that it never learnt; each is one more ``<unk>`` to it."""
    known = {name.casefold() for name in known_attributes()}
    return tuple(name for name in names if name.casefold() not in known)


def outside_domain(pixels: UInt8[ndarray, "n height width 3"]) -> Bool[ndarray, " n"]:
    """Which pictures are unlike all it was trained on.

    Mahalanobis distance of the pooled vision features from those of training pictures (Lee et al.
    2018, arXiv 1807.03888); the threshold is the 99.5 % quantile over held-out, partly degraded
    pictures of its world.
    """
    statistics = load_file(directory() / "domain.safetensors")
    images = [Image.fromarray(picture) for picture in pixels]
    features = np.asarray(_engine().features(images))
    distances = mahalanobis(features, statistics["mean"], statistics["whitening"])
    return np.asarray(distances > statistics["threshold"])


def mahalanobis(
    features: Float[ndarray, "n width"],
    mean: Float[ndarray, " width"],
    whitening: Float[ndarray, "width width"],
) -> Float[ndarray, " n"]:
    """Length of each whitened, centred feature vector."""
    return np.asarray(np.linalg.norm((features - mean) @ whitening, axis=1))


@cache
def _engine() -> "TransformersEngine":
    # Loaded on first use: importing this module stays free of torch.
    from gdrl.mllm.transformers_engine import TransformersEngine

    return TransformersEngine(directory(), name=NAME)
