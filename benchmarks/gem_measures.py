"""What benchmarks/gem.py measures of a model, a graph and an edit."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from gem_tables import GUIDED, ICA, SHOTS, UNSUPERVISED, Variant  # type: ignore[import-not-found]
from gem_worlds import (  # type: ignore[import-not-found]
    EDIT_SEED,
    PARAPHRASES,
    Reader,
    answers,
    held_out,
)
from numpy import ndarray
from safetensors.numpy import load_file

from gdrl import evaluation as measure
from gdrl.config import Recipe
from gdrl.data.faces import STYLES
from gdrl.data.scores import MAX_LEVEL, read_scores
from gdrl.data.table import load_images, load_pixels
from gdrl.evaluation.probe import Penalty, draw_shots, fit_probe
from gdrl.graph import CorrelationGraph, build_graph, match
from gdrl.models.factor_model import FactorModel
from gdrl.models.representation import Representation
from gdrl.models.storage import load_encoders
from gdrl.training.encoded import Unmixed, features_of, read_encoded, unmix
from gdrl.unmixing import Unmixing

EDGE, ASYMMETRY = 0.2, 0.1
NUM_EDITED = 200
NUM_READ = 4_000
NUM_DRAWS = 3
"""Of shots, for each attribute."""
PENALTIES: tuple[Penalty, ...] = ("l2", "l1")
DOMAINS: dict[str, dict[str, Any]] = {
    "same": {"independent": False},
    "uncorrelated": {},
    "other style": {"independent": False, "style": STYLES[1]},
}
"""Where a probe is tested, as what :func:`held_out` is told."""
SHOWN, LEAKED = 0.5, 0.35
"""As in RESULTS.md, section 4: what counts as shown, and as another attribute's moving."""


def representation(bench: Any, folder: Path) -> dict[str, float | None]:
    """Fast scores on the uncorrelated draw, and the size of the model.

    ``mse_in_world`` is of fresh images that go together as the training images do.
    """
    pixels, factors = bench.test
    model = Representation.load(folder)
    codes = model.encode(pixels).astype(np.float64)
    rebuilt = model.decode(codes.astype(np.float32))
    trees = measure.dci(codes, factors, fast=True)
    tied = measure.pair_entanglement(trees.importance, bench.world.pair)
    scores: dict[str, float | None] = {
        **_disentanglement(codes, factors, trees),
        "factor_vae_score": measure.factor_vae_score(codes, factors, fast=True),
        "pair_tied": tied.pair,
        "others_tied": tied.others,
        "mse": _rebuilding_error(pixels, rebuilt),
        "mse_in_world": _error_in_world(bench, model),
        "parameters": sum(w.size for w in load_file(folder / "model.safetensors").values()),
    }
    number = bench.task.budget.fd_images
    if number:
        real, fake = (x[:number] / np.float32(255) for x in (pixels, rebuilt))
        scores["fd_efflite0"] = measure.fd_efflite0(real, fake)
    return {name: _finite(value) for name, value in scores.items()}


def _error_in_world(bench: Any, model: Representation) -> float:
    """Mean squared error of as many fresh images, the world's correlations in them."""
    task = bench.task
    number = task.budget.test_images
    pixels, _ = held_out(bench.world, bench.folder, number, task.seed, independent=False)
    return _rebuilding_error(pixels, model.decode(model.encode(pixels)))


def _rebuilding_error(pixels: ndarray, rebuilt: ndarray) -> float:
    return measure.mse(pixels / np.float32(255), rebuilt / np.float32(255))


def _finite(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)


def relations(
    weights: ndarray, truth: ndarray, bounds: tuple[ndarray, ndarray] | None = None
) -> dict[str, float | None]:
    """A graph against the population; intervals where it has some."""
    scores: dict[str, float | None] = {
        "edge_auroc": measure.edge_auroc(weights, truth, EDGE),
        "sign": measure.sign_accuracy(weights, truth, EDGE),
        "direction": measure.direction_accuracy(weights, truth, ASYMMETRY),
        "weight_error": measure.weight_error(weights, truth),
    }
    if bounds is not None:
        scores["coverage"] = measure.interval_coverage(*bounds, truth)
    return {name: _finite(value) for name, value in scores.items()}


def relations_of(
    bench: Any, recipe: Recipe, variant: Variant, model: Path
) -> dict[str, float | None]:
    """Of the measured graph and of the refined one."""
    graph = bench.graph(recipe, bench.scores(recipe, variant))
    truth = _truth(bench, graph.names)
    refined = relations(_graph(model).adjacency, truth)
    measured = relations(graph.adjacency, truth, (graph.lower, graph.upper))
    return measured | {f"refined_{name}": value for name, value in refined.items()}


def _graph(folder: Path) -> CorrelationGraph:
    return CorrelationGraph.load(folder / "graph.json")


def _truth(bench: Any, names: tuple[str, ...]) -> ndarray:
    order = [bench.world.names.index(name) for name in names]
    truth: ndarray = bench.world.truth()[np.ix_(order, order)]
    return truth


def graph_rows(bench: Any) -> dict[str, dict[str, float | None]]:
    """The MLLM's graph by each measure, refined, asked otherwise, and the controls."""
    recipe = bench.recipe(GUIDED)
    settings, truth = recipe.graph.measurement, bench.world.truth()
    scores = read_scores(bench.scores(recipe, GUIDED))

    def measured(levels: ndarray, **changes: object) -> CorrelationGraph:
        return build_graph(levels, bench.world.names, **{**settings, **changes})

    def built(levels: ndarray, **changes: object) -> dict[str, float | None]:
        graph = measured(levels, **changes)
        return relations(graph.adjacency, truth, (graph.lower, graph.upper))

    rows = {
        "mllm": built(scores.levels),
        "mllm_drawn": relations(measured(scores.levels).drawn_weights, truth),
        "mllm_somers_d": built(scores.levels, measure="somers_d"),
        "mllm_spearman": built(scores.levels, measure="spearman"),
        "labels": built(_labels(bench, scores.ids)),
        "data_only": relations(_data_only(bench, recipe, scores), truth),
        "random": relations(_random(bench), truth),
        "identity": relations(np.zeros_like(truth), truth),
    }
    for number, wording in enumerate(PARAPHRASES if not bench.world.is_grid else (), start=1):
        said = answers(bench.world, bench.folder, bench.dataset, bench.task.seed, wording)[1]
        levels = said[: len(scores.ids)] @ np.arange(said.shape[2]) / MAX_LEVEL
        rows[f"paraphrase_{number}"] = built(levels)
    for name, variant in (("refined_guided", GUIDED), ("refined_unsupervised", UNSUPERVISED)):
        trained = bench.disgraph(bench.recipe(variant), variant)
        rows[name] = relations(_graph(trained).adjacency, truth)
    return rows


def component_rows(bench: Any) -> dict[str, dict[str, float | None]]:
    """Features as they come, and unmixed: by ICA, and as many by its controls."""
    pixels, factors = bench.test
    features = features_of(load_encoders(_pairs(bench)), pixels)
    rows = {"raw": _componentwise(features.astype(np.float64), factors)}
    for method, fit, unmixed in _unmixings(bench):
        rows[method] = _componentwise(fit.transform(features), factors)
        rows[method] |= {
            "stability": min(unmixed.stability),
            "components": unmixed.num_components,
        }
    return rows


def _pairs(bench: Any) -> Path:
    folder: Path = bench.encoders(bench.recipe(ICA), ICA)
    return folder


def _unmixings(bench: Any) -> Iterator[tuple[str, Unmixing, Unmixed]]:
    """Of the features of all training images: by ICA, and as many components by its controls."""
    encoded = read_encoded(_pairs(bench), load_images(bench.dataset, "train"))
    recipe, number = bench.recipe(ICA).unmixing, 0
    for method in ("ica", "varimax", "pca", "random_rotation"):
        changed = {"method": method, "num_components": number}
        fit, unmixed = unmix(encoded, recipe.model_copy(update=changed))
        number = unmixed.num_components
        yield method, fit, unmixed


def probe_rows(bench: Any) -> dict[str, dict[str, float]]:
    """Accuracy of few-shot probes, mean over attributes and draws of shots.

    Shots are of the training images. They are tested where nothing differs, where the correlations
    are gone, and where the style of drawing is another.
    """
    encoders = load_encoders(_pairs(bench))
    table = load_images(bench.dataset, "train")
    world, folder = bench.world, bench.folder
    number, seed = bench.task.budget.test_images, bench.task.seed
    sets = [(table.pixels, _labels(bench, table.ids))]
    sets += [held_out(world, folder, number, seed, **shift) for shift in DOMAINS.values()]
    features = [features_of(encoders, pixels) for pixels, _ in sets]
    spaces = {"raw": features}
    for method, fit, _ in _unmixings(bench):
        spaces[method] = [fit.transform(rows) for rows in features]
    labels = [factors.astype(np.int64) for _, factors in sets]
    rows: dict[str, dict[str, float]] = {}
    for (space, values), penalty in product(spaces.items(), PENALTIES):
        for shots in SHOTS:
            found = _few_shot(values, labels, shots, penalty, seed)
            for domain, accuracy in zip(DOMAINS, found, strict=True):
                rows.setdefault(f"{space}, {penalty}, {domain}", {})[f"shots_{shots}"] = accuracy
    return rows


def _few_shot(
    values: Sequence[ndarray], labels: Sequence[ndarray], shots: int, penalty: Penalty, seed: int
) -> ndarray:
    """Accuracy on each set but the first, which gives the shots: the same ones to all spaces."""
    found = []
    for attribute, draw in product(range(labels[0].shape[1]), range(NUM_DRAWS)):
        (train, *tests), (said, *truths) = values, [x[:, attribute] for x in labels]
        rng = np.random.default_rng([seed, attribute, draw, shots])
        fit, choose = draw_shots(said, shots, rng)
        probe = fit_probe(train[fit], said[fit], train[choose], said[choose], penalty)
        found.append([probe.accuracy(*pair) for pair in zip(tests, truths, strict=True)])
    mean: ndarray = np.mean(found, axis=0)
    return mean


def _componentwise(codes: ndarray, factors: ndarray) -> dict[str, float | None]:
    trees = measure.dci(codes, factors, fast=True)
    scores = {"mcc": measure.mcc(codes, factors), **_disentanglement(codes, factors, trees)}
    return {name: _finite(value) for name, value in scores.items()}


def _disentanglement(codes: ndarray, factors: ndarray, trees: measure.Dci) -> dict[str, float]:
    told = measure.infomec(codes, factors, fast=True)
    return {
        "mig": measure.mig(codes, factors),
        "dci_d": trees.disentanglement,
        "info_m": told.infom,
        "info_e": told.infoe,
        "info_c": told.infoc,
        "matched_95": float((measure.attribute_auroc(codes, factors) >= 0.95).mean()),
    }


def _labels(bench: Any, ids: ndarray) -> ndarray:
    table = load_images(bench.dataset, "train")
    factors = np.stack([table.factors[name] for name in bench.world.names], axis=1)
    return factors[np.searchsorted(table.ids, ids)]


def _random(bench: Any) -> ndarray:
    size = len(bench.world.names)
    weights = np.random.default_rng([bench.task.seed, 2]).uniform(-1, 1, (size, size))
    np.fill_diagonal(weights, 0)
    return weights


def _data_only(bench: Any, recipe: Recipe, scores: Any) -> ndarray:
    """Correlation of the β-VAE's posterior means; scores say which latent is which, no more."""
    pixels = load_pixels(bench.dataset, scores.ids)
    codes = Representation.load(bench.extracted(recipe, GUIDED)[-1]).encode(pixels)
    matched = match(codes, scores.levels, threshold=0.0)
    weights = np.zeros((scores.levels.shape[1],) * 2)
    named = {x.attribute: x for x in matched.latents if x.attribute is not None}
    spread = codes.std(axis=0).clip(1e-6)
    for i, first in named.items():
        for j, second in named.items():
            if i != j:
                a, b = codes[:, first.index], codes[:, second.index]
                covariance = ((a - a.mean()) * (b - b.mean())).mean() * first.sign * second.sign
                weights[i, j] = covariance / (spread[first.index] * spread[second.index])
    return weights


def edits(bench: Any, folder: Path, work: Path) -> dict[str, float | None]:
    """Set each attribute absent and present; what does the reader see move, and should it?

    An attribute that no latent carries cannot be set: it moves nothing.
    """
    model = FactorModel.open(folder)
    names = model.graph.names
    order = [bench.world.names.index(name) for name in names]
    reader = Reader(work, NUM_READ, bench.task.budget.reader_steps)
    images = np.stack(list(bench.world.draw(NUM_EDITED, EDIT_SEED + bench.task.seed)[1]))
    moved, alone = (_effects(model, reader, images, p)[:, order] for p in (True, False))
    truth = bench.world.effects()[np.ix_(order, order)]
    agreed = measure.intervention_consistency(moved, truth)
    off = ~np.eye(len(names), dtype=bool)
    own, leak = alone.diagonal(), np.abs(np.where(off, alone, 0))
    weights = model.graph.adjacency[off]
    follows = np.corrcoef(moved[off], weights)[0, 1] if moved[off].std() and weights.std() else None
    scores: dict[str, float | None] = {
        "agreement": agreed.agreement,
        "error": agreed.error,
        "spillover": agreed.spillover,
        "null_agreement": measure.intervention_consistency(0 * truth, truth).agreement,
        "own_effect": own.mean(),
        "leakage": leak[off].mean(),
        "largest_leak": leak.max(),
        "shown": float(((own > SHOWN) & (leak.max(axis=1) < LEAKED)).mean()),
        "follows_graph": follows,
        "reader_accuracy": reader.accuracy,
    }
    return {name: _finite(value) for name, value in scores.items()}


def _effects(model: FactorModel, reader: Reader, images: ndarray, propagate: bool) -> ndarray:
    """``[i, j]``: how much more probable attribute j of the world is with i present than absent."""
    codes = model.encode(images)
    rows = []
    for name in model.graph.names:
        if name not in model.names:
            rows.append(np.zeros(reader.read(images[:1]).shape[1]))
            continue
        present, absent = (
            reader.read(model.decode(model.set_levels(codes, {name: level}, propagate=propagate)))
            for level in (1.0, 0.0)
        )
        rows.append((present - absent).mean(axis=0))
    return np.stack(rows)
