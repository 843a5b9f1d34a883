"""The held-out figures of a tiny LLaVA, measured through the engine that serves it."""

import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from gdrl.data.causal_model import CausalModel
from gdrl.data.faces import (
    ATTRIBUTES,
    DEFAULT_STYLE,
    MODEL,
    STYLES,
    population_association,
    render,
    reversed_model,
    sample_factors,
)
from gdrl.data.pictures import encode_png
from gdrl.mllm.questions import LEVELS, expectation, naming_query, score_query
from gdrl.mllm.transformers_engine import TransformersEngine
from gdrl.training.tiny_llava import lessons
from gdrl.training.tiny_llava.degrade import LinearAutoencoder, degrade, to_pixels, to_uint8
from gdrl.training.tiny_llava.scenes import BASE, Scenes, render_scenes

HELD_OUT_SEED = 1_000_003
_MAX_LEVEL = len(LEVELS) - 1


def evaluate(
    path: Path, num_scenes: int = 800, num_images: int = 1_500, num_threads: int = 1
) -> dict[str, float]:
    """All figures by name; shares and correlations, and milliseconds per question.

    Args:
        path: the model's directory.
        num_scenes: held-out scenes, over all styles, for presence and naming.
        num_images: images of each correlated world.
        num_threads: CPU threads.
    """
    engine = TransformersEngine(path, num_threads=num_threads)
    scenes = render_scenes(num_scenes, HELD_OUT_SEED)
    figures: dict[str, float] = {}
    for index, style in enumerate(STYLES):
        of_style = scenes.where(scenes.styles == index)
        figures |= {f"{name} {style}": v for name, v in _presence(engine, of_style).items()}
        figures |= {f"{name} {style}": v for name, v in _naming(engine, of_style).items()}
    for world, model in (("default", MODEL), ("reversed", reversed_model())):
        for style in STYLES if world == "default" else (DEFAULT_STYLE,):
            figures |= _association(engine, f"{world} world {style}", model, style, num_images)
    return figures | {"ms per question": _milliseconds(engine, scenes)}


def _presence(engine: TransformersEngine, scenes: Scenes) -> dict[str, float]:
    """Share of right yes/no (level above 2.5), clean and degraded; error of the graded answers."""
    generator = np.random.default_rng(HELD_OUT_SEED)
    clean, truth = scenes.pictures[:, BASE], scenes.factors[:, BASE]
    degraded = _degraded(scenes, to_pixels(clean[:, None]), generator, max_ghost=0.5)[:, 0]
    right = (scores(engine, clean) > _MAX_LEVEL / 2) == truth
    right_degraded = (scores(engine, degraded) > _MAX_LEVEL / 2) == truth
    faded = lessons.presence(scenes, len(clean), generator)
    error = scores(engine, np.rint(faded.pictures).astype(np.uint8)) - faded.levels.numpy()
    return {
        "presence": float(right.mean()),
        "presence, worst attribute": float(right.mean(axis=0).min()),
        "presence, degraded": float(right_degraded.mean()),
        "graded levels, mean error": float(np.abs(error).mean()),
    }


def _naming(engine: TransformersEngine, scenes: Scenes) -> dict[str, float]:
    """Share of strips named right, among them those along which nothing named changes."""
    generator = np.random.default_rng(HELD_OUT_SEED + 1)
    clean = lessons.strips(scenes, len(scenes), generator, all_options=True, partial=False)
    strips = lessons.strips(scenes, len(scenes), generator, all_options=True)
    degraded = _degraded(scenes, to_pixels(strips.frames), generator, max_ghost=0.9)
    right = names(engine, np.rint(clean.frames).astype(np.uint8)) == clean.answers.numpy()
    right_degraded = names(engine, degraded) == strips.answers.numpy()
    nothing = clean.answers.numpy() == lessons.NOTHING
    return {
        "naming": float(right.mean()),
        "naming, none of these": float(right[nothing].mean()),
        "naming, degraded": float(right_degraded.mean()),
    }


def _degraded(
    scenes: Scenes,
    pixels: Float[Tensor, "groups frames 3 64 64"],
    generator: np.random.Generator,
    max_ghost: float,
) -> UInt8[ndarray, "groups frames 64 64 3"]:
    """Degrade 25 groups at a time: each call either ghosts all or none."""
    autoencoder = LinearAutoencoder(scenes)
    batches = [degrade(batch, autoencoder, generator, max_ghost) for batch in pixels.split(25)]
    return to_uint8(torch.cat(batches))


def _association(
    engine: TransformersEngine, world: str, model: CausalModel, style: str, num_images: int
) -> dict[str, float]:
    """The matrix of a correlated world from its images' scores, against the population's."""
    factors = sample_factors(num_images, HELD_OUT_SEED, model=model)
    pictures = [render(row, (HELD_OUT_SEED, i), style) for i, row in enumerate(factors)]
    present = scores(engine, np.stack(pictures)) / _MAX_LEVEL
    estimated = conditional_difference(present)
    truth = population_association(model)
    sampled = conditional_difference(factors.astype(np.float64))
    off = ~np.eye(len(truth), dtype=bool)
    return {
        f"presence, {world}": float(((present > 0.5) == factors).mean()),
        f"association r, {world}": float(np.corrcoef(estimated[off], truth[off])[0, 1]),
        f"association r of the labels, {world}": float(np.corrcoef(sampled[off], truth[off])[0, 1]),
        f"association mean error, {world}": float(np.abs(estimated - truth)[off].mean()),
    }


def scores(
    engine: TransformersEngine, pictures: UInt8[ndarray, "n 64 64 3"]
) -> Float[ndarray, "n attributes"]:
    """Expected level of every attribute in every picture."""
    images = [encode_png(picture) for picture in pictures]
    queries = [score_query(image, attribute) for image in images for attribute in ATTRIBUTES]
    levels = [expectation(answer) for answer in engine.answer(queries)]
    return np.array(levels).reshape(len(images), len(ATTRIBUTES))


def names(
    engine: TransformersEngine, strips: UInt8[ndarray, "n 2 64 64 3"]
) -> Int64[ndarray, " n"]:
    """Index of the most probable attribute of every strip; ``NOTHING`` for none of these."""
    queries = [naming_query([encode_png(f) for f in strip], ATTRIBUTES) for strip in strips]
    return np.array([np.argmax(answer.probabilities or ()) for answer in engine.answer(queries)])


def conditional_difference(present: Float[ndarray, "n k"]) -> Float[ndarray, "k k"]:
    """P(j | i) - P(j | not i) from soft labels in [0, 1]."""
    on, off = present.T @ present, (1 - present).T @ present
    difference = on / present.sum(axis=0)[:, None] - off / (1 - present).sum(axis=0)[:, None]
    return np.asarray(difference)


def _milliseconds(engine: TransformersEngine, scenes: Scenes) -> float:
    """Per question: 16 pictures, every attribute asked of each."""
    pictures = scenes.pictures[:16, BASE]
    scores(engine, pictures)
    started = time.perf_counter()
    scores(engine, pictures)
    return 1e3 * (time.perf_counter() - started) / (len(pictures) * len(ATTRIBUTES))
