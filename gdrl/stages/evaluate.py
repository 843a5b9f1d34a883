"""``evaluation``: the numbers and pictures of the report, on images no training stage saw."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from gdrl import evaluation as measure
from gdrl.artifacts import Artifact, Inputs, Metrics
from gdrl.config import EvaluationRecipe, RunConfig
from gdrl.data.pictures import save_grid
from gdrl.data.scores import read_scores
from gdrl.data.table import ImageTable, load_images, load_pixels, read_description
from gdrl.distributed.serve import serving
from gdrl.graph import CorrelationGraph, auroc, match
from gdrl.models.factor_model import FactorModel
from gdrl.models.representation import Representation
from gdrl.pipeline import extracted_by
from gdrl.stages.interventions import NUM_VALUES, draw_interventions
from gdrl.stages.naming import LatentRow, latent_rows, name_latents

NUM_PICTURES = 12
NUM_FACES = 4


@dataclass(frozen=True)
class Measured:
    """A model once over the images: what every number and picture below is made of."""

    scored_codes: Float[ndarray, "scored latent"]
    codes: Float[ndarray, "test latent"]
    rebuilt: UInt8[ndarray, "test height width 3"]


def run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
    """Measure extractor and DisGraph side by side on the test split, and draw what they do."""
    recipe, matching = config.recipe.evaluation, config.recipe.matching
    extracted = Representation.load(inputs[extracted_by(config.recipe.extractor)])
    factors = FactorModel.open(inputs["disgraph"])
    disgraph = factors.representation
    test, scores = load_images(inputs["dataset"], "test"), read_scores(inputs["scores"])
    scored = load_pixels(inputs["dataset"], scores.ids)
    before, after = (_measure(model, scored, test.pixels) for model in (extracted, disgraph))
    with serving(config.recipe.mllm, config.scale.mllm) as mllm:
        naming = name_latents(disgraph, after.scored_codes, scores, matching, mllm.answer)
    unaligned = match(before.scored_codes, scores.levels, matching.threshold)
    extracted_latents = _with_auroc(latent_rows(unaligned, scores.attributes), before.codes, test)
    latents = _with_auroc(naming.rows(), after.codes, test)
    graph = _graph_section(inputs)
    metrics = {
        **_reconstruction_metrics(test.pixels, before.rebuilt, after.rebuilt),
        **_matching_metrics(latents, extracted_latents, recipe),
        **_disentanglement_metrics({"": after.codes, "extractor_": before.codes}, test, recipe),
        **_relation_metrics(graph, recipe),
    }
    rows = np.stack([test.pixels, before.rebuilt, after.rebuilt])[:, :NUM_PICTURES]
    save_grid(out.path / "reconstructions.png", rows)
    for latent, strip in enumerate(naming.strips):
        save_grid(out.path / f"traversals/latent-{latent:02d}.png", strip[:NUM_FACES])
    draw_interventions(out.path / "interventions", factors, test.pixels[:NUM_FACES])
    evaluation = {
        "metrics": metrics,
        "attributes": list(scores.attributes),
        "latents": latents,
        "graph": graph,
        "interventions": _intervention_section(graph),
        "domain": json.loads((inputs["scores"] / "scores.json").read_text())["domain"],
    }
    (out.path / "evaluation.json").write_text(json.dumps(evaluation, indent=2))
    return metrics


def _measure(
    model: Representation,
    scored: UInt8[ndarray, "scored height width 3"],
    test: UInt8[ndarray, "test height width 3"],
) -> Measured:
    codes = model.encode(test)
    return Measured(model.encode(scored), codes, model.decode(codes))


def _with_auroc(
    latents: Sequence[LatentRow], codes: Float[ndarray, "n latent"], test: ImageTable
) -> list[LatentRow]:
    """Add each named latent's held-out AUROC for its attribute; None where no truth is known."""
    rows = []
    for latent in latents:
        truth = test.factors.get(latent["attribute"]) if latent["attribute"] else None
        code = latent["sign"] * codes[:, [latent["index"]]]
        area = None if truth is None else float(auroc(code, truth[:, None])[0, 0])
        rows.append({**latent, "auroc": area})
    return rows


def _matching_metrics(
    latents: Sequence[LatentRow], extracted: Sequence[LatentRow], recipe: EvaluationRecipe
) -> dict[str, float]:
    """How many attributes have a latent of their own, and on how many both witnesses agree."""

    def matched(rows: Sequence[LatentRow]) -> int:
        return sum((row["auroc"] or 0.0) >= recipe.auroc_threshold for row in rows)

    named = [row for row in latents if row["attribute"] is not None]
    metrics = {"num_named": len(named), "agreeing_witnesses": sum(row["agree"] for row in named)}
    if any(row["auroc"] is not None for row in named):
        metrics["matched_attributes"] = matched(latents)
        metrics["extractor_matched_attributes"] = matched(extracted)
        metrics["lowest_auroc"] = min(row["auroc"] for row in named if row["auroc"] is not None)
    return metrics


def _reconstruction_metrics(
    originals: UInt8[ndarray, "n height width 3"],
    by_extractor: UInt8[ndarray, "n height width 3"],
    by_disgraph: UInt8[ndarray, "n height width 3"],
) -> dict[str, float]:
    truth, before, after = (x / np.float32(255) for x in (originals, by_extractor, by_disgraph))
    error, error_before = measure.mse(truth, after), measure.mse(truth, before)
    return {
        "mse": error,
        "extractor_mse": error_before,
        "mse_ratio": error / error_before,
        "psnr": measure.psnr(truth, after),
    }


def _disentanglement_metrics(
    models: Mapping[str, Float[ndarray, "n latent"]], test: ImageTable, recipe: EvaluationRecipe
) -> dict[str, float]:
    """MIG and DCI of the codes by prefix of the names; nothing where no factor is known."""
    if not test.factors:
        return {}
    factors = np.stack(list(test.factors.values()), axis=1)
    metrics = {}
    for prefix, codes in models.items():
        dci = measure.dci(codes, factors, seed=recipe.seed)
        metrics[f"{prefix}mig"] = measure.mig(codes, factors)
        metrics[f"{prefix}dci_disentanglement"] = dci.disentanglement
        metrics[f"{prefix}dci_completeness"] = dci.completeness
        metrics[f"{prefix}dci_informativeness"] = dci.informativeness
    return metrics


def _graph_section(inputs: Inputs) -> dict[str, Any]:
    """Every graph over the same attributes: measured, refined, the paper's measure, the truth."""
    estimated = CorrelationGraph.load(inputs["graph"] / "graph.json")
    graphs = {
        "estimated": estimated.adjacency,
        "drawn": estimated.drawn_weights,
        "refined": CorrelationGraph.load(inputs["disgraph"] / "graph.json").adjacency,
        "somers_d": CorrelationGraph.load(inputs["graph"] / "graph-somers_d.json").adjacency,
    }
    description = read_description(inputs["dataset"])
    asked = [name in description.attributes for name in estimated.names]
    truth: dict[str, Any] = {"truth": None, "effect": None}
    if description.truth is not None and all(asked):
        order = [description.attributes.index(name) for name in estimated.names]
        picked = np.ix_(order, order)
        truth["truth"] = np.array(description.truth.adjacency)[picked].tolist()
        if description.truth.interventional is not None:
            truth["effect"] = np.array(description.truth.interventional)[picked].tolist()
    return {
        "names": list(estimated.names),
        **{name: weights.tolist() for name, weights in graphs.items()},
        "lower": estimated.lower.tolist(),
        "upper": estimated.upper.tolist(),
        **truth,
    }


def _relation_metrics(graph: Mapping[str, Any], recipe: EvaluationRecipe) -> dict[str, float]:
    """The measured graph against the truth, its drawn edges, the refined one, the paper's measure.

    Drawn edges alone are what refinement has to beat: it is pulled to 0 where none is drawn.
    """
    if graph["truth"] is None:
        return {}
    truth = np.array(graph["truth"])
    metrics = {
        "interval_coverage": measure.interval_coverage(
            np.array(graph["lower"]), np.array(graph["upper"]), truth
        )
    }
    for name in ("estimated", "drawn", "refined", "somers_d"):
        weights, prefix = np.array(graph[name]), "" if name == "estimated" else f"{name}_"
        metrics |= {
            f"{prefix}edge_auroc": measure.edge_auroc(weights, truth, recipe.edge_threshold),
            f"{prefix}sign_accuracy": measure.sign_accuracy(weights, truth, recipe.edge_threshold),
            f"{prefix}direction_accuracy": measure.direction_accuracy(
                weights, truth, recipe.asymmetry_threshold
            ),
            f"{prefix}weight_error": measure.weight_error(weights, truth),
        }
    return metrics


def _intervention_section(graph: Mapping[str, Any]) -> dict[str, Any]:
    """What setting an attribute does to the others: by the refined graph, and in truth."""
    return {
        "names": graph["names"],
        "values": np.linspace(0, 1, NUM_VALUES).tolist(),
        "predicted": graph["refined"],
        "truth": graph["effect"],
    }
