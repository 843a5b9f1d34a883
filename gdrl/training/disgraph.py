"""The joint stage: from extracted factors, names, scores and measured graph to a DisGraph."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from numpy import ndarray
from torch import Tensor

from gdrl.config import DisGraphRecipe
from gdrl.data.table import load_images
from gdrl.errors import ConfigError
from gdrl.graph import CorrelationGraph, auroc
from gdrl.models.beta_vae import BetaVae
from gdrl.models.graph_vae import GraphVae
from gdrl.models.storage import load_model, save_model
from gdrl.training import loop, losses
from gdrl.training.annotations import (
    Annotations,
    Assignment,
    assign,
    assign_in_order,
    edge_prior,
    read_annotations,
    refined_graph,
)
from gdrl.training.balance import balanced
from gdrl.training.batches import (
    Part,
    below,
    check_shares,
    check_whole,
    generator_at,
    positions_at,
    share,
    to_images,
)
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob
from gdrl.training.joint import NUM_INTERVENED, Batch, JointObjective, View, draw_swaps, draw_view
from gdrl.training.schedule import opening_at

CHUNK = 256
BULK = (0.03, 0.97)
"""Quantiles of a latent that stand for absent and present: outliers reach into empty space."""
# The scored images follow an order of their own, or they would repeat in step with all images.
SCORED_ORDER = 1


def train(job: TrainingJob) -> None:
    """Train on ``dataset``, ``extracted``, ``names``, ``scores`` and ``graph``.

    ``extracted`` is a beta-VAE, or components. Publishes model.safetensors, model.json, graph.json
    (measured intervals, learned weights), names.json and metrics.jsonl.

    Raises:
        ConfigError: workers that cannot share a batch evenly, parts of a batch for a term that is
            of all of it, or ZeRO-3.
        DataError: the data set cannot be read, the scores are not its own, or the graph is not of
            their attributes.
        ArtifactMissing, ArtifactCorrupt: no usable model in ``extracted``.
        TrainingFailed: the loss is not finite, or the checkpoint does not fit.
    """
    recipe = cast(DisGraphRecipe, job.recipe)
    _check_scale(job, recipe)
    num_scored = _num_scored(recipe)
    check_shares(job, batch_size=recipe.batch_size, scored_per_batch=num_scored)
    images = load_images(job.inputs["dataset"], "train", job.scale.image_memory_gb)
    attributes, annotations = read_annotations(job.inputs["scores"], images.ids)
    torch.manual_seed(recipe.seed)
    measured = CorrelationGraph.load(job.inputs["graph"] / "graph.json")
    model, assignment = begin(job.inputs, recipe, attributes, images.pixels, signed=measured.signed)
    annotations = annotations.of([attributes.index(name) for name in assignment.attributes])
    prior, confidence = edge_prior(measured, assignment, drawn_only=recipe.drawn_edges_only)
    with torch.no_grad():
        model.disgraph.weight.copy_(prior)
    model.disgraph.weight.requires_grad_(recipe.learn_edges)
    objective = JointObjective(model, recipe, assignment, prior, confidence)
    engine = Engine(objective, job)

    def publish(weights: dict[str, Tensor], folder: Path) -> None:
        model.load_state_dict(below("model.", weights))
        model.cpu().eval()
        _publish(model, assignment, annotations, images.pixels, folder)
        graph = refined_graph(measured, assignment, model.disgraph.edges().detach())
        graph.save(folder / "graph.json")

    rows_at = _rows(recipe, _draws(recipe, annotations), len(images.pixels))
    batch_at = _batches(recipe, engine, annotations, images.pixels, model.latent_dim, rows_at)

    def ids_at(step: int) -> Int64[ndarray, " batch"]:
        scored, rest = rows_at(step)
        positions = np.concatenate([annotations.positions[scored], rest])
        return np.asarray(images.ids[positions])

    loop.run(job, engine, batch_at, ids_at, publish)


def _check_scale(job: TrainingJob, recipe: DisGraphRecipe) -> None:
    if job.scale.zero_stage == 3:
        raise ConfigError(
            "scale.disgraph.zero_stage = 3 takes apart weights that the joint stage uses whole; "
            "set it to 2"
        )
    if recipe.contrastive_weight:
        reason = "recipe.disgraph.contrastive_weight > 0 moves an average once a batch"
        check_whole(job, reason, over_workers=True)


def _num_scored(recipe: DisGraphRecipe) -> int:
    """Scored images in a batch; without alignment they are images like any others."""
    return min(recipe.scored_per_batch, recipe.batch_size) if recipe.alignment_weight else 0


def begin(
    inputs: Mapping[str, Path],
    recipe: DisGraphRecipe,
    attributes: tuple[str, ...],
    pixels: UInt8[ndarray, "images size size 3"],
    *,
    signed: bool,
) -> tuple[GraphVae, Assignment]:
    """What training starts from, and which latents are to carry which attributes.

    From ``extracted``: that model behind a graph, its latents turned so that more of one is more of
    its attribute. From nothing: nets of its shape, and latents in the order of the attributes.
    """
    extracted = load_model(inputs["extracted"])
    shape = extracted.latent_dim, recipe.num_layers, extracted.net, extracted.image_size
    model = GraphVae(*shape, signed=signed)
    if not recipe.warm_start:
        return model, assign_in_order(attributes, extracted.latent_dim)
    mean, logvar = posterior(extracted, pixels[:1024])
    kl = losses.kl_by_latent(mean, logvar).numpy()
    complete = bool(recipe.alignment_weight)
    assignment = assign(inputs["names"], kl, attributes, complete=complete)
    model.load_state_dict(extracted.state_dict(), strict=False)
    model.flip_latents(assignment.signs)
    return model, assignment


@torch.no_grad()
def posterior(
    model: BetaVae, pixels: UInt8[ndarray, "images size size 3"]
) -> tuple[Float[Tensor, "images latent"], Float[Tensor, "images latent"]]:
    """Mean and logvar of many images."""
    chunks = [
        model.posterior(to_images(torch.from_numpy(pixels[at : at + CHUNK])))
        for at in range(0, len(pixels), CHUNK)
    ]
    means, logvars = zip(*chunks, strict=True)
    return torch.cat(means), torch.cat(logvars)


def _draws(recipe: DisGraphRecipe, annotations: Annotations) -> Int64[ndarray, " draws"]:
    """Rows of the scored images, each as often as it is to be shown."""
    scores = annotations.scores.double().numpy()
    return balanced(scores, annotations.answered.numpy(), recipe.effective_scored)


def _rows(
    recipe: DisGraphRecipe, shown: Int64[ndarray, " draws"], num_images: int
) -> Callable[[int], tuple[Int64[ndarray, " scored"], Int64[ndarray, " rest"]]]:
    """Step to its rows among the scored images, and its positions among all images."""
    share_of_scored = _num_scored(recipe)
    share_of_rest = recipe.batch_size - share_of_scored

    def rows_at(step: int) -> tuple[Int64[ndarray, " scored"], Int64[ndarray, " rest"]]:
        drawn = positions_at(step, share_of_scored, len(shown), (recipe.seed, SCORED_ORDER))
        return shown[drawn], positions_at(step, share_of_rest, num_images, recipe.seed)

    return rows_at


def _batches(
    recipe: DisGraphRecipe,
    engine: Engine,
    annotations: Annotations,
    pixels: UInt8[ndarray, "images size size 3"],
    latent_dim: int,
    rows_at: Callable[[int], tuple[Int64[ndarray, " scored"], Int64[ndarray, " rest"]]],
) -> Callable[[int, Part], Batch]:
    stored = torch.from_numpy(pixels)

    def batch_at(step: int, part: Part) -> Batch:
        rows, rest = rows_at(step)
        chosen = torch.cat([share(part, annotations.positions[rows]), share(part, rest)])
        num_intervened = min(NUM_INTERVENED, recipe.batch_size // part.count)
        generator = generator_at(step, recipe.seed)
        noise, prior_codes = torch.randn(2, recipe.batch_size, latent_dim, generator=generator)
        views = tuple(_move(draw_view(latent_dim, generator), engine.device) for _ in range(2))
        return Batch(
            images=to_images(stored[chosen].to(engine.device)),
            noise=share(part, noise).to(engine.device),
            prior_codes=share(part, prior_codes).to(engine.device),
            scores=annotations.scores[share(part, rows)].to(engine.device),
            answered=annotations.answered[share(part, rows)].to(engine.device),
            views=cast(tuple[View, View], views),
            swapped=draw_swaps(num_intervened, latent_dim, generator).to(engine.device),
            opening=opening_at(step, recipe.steps),
        )

    return batch_at


def _move(view: View, device: torch.device) -> View:
    return View(view.features.to(device), view.edges.to(device))


def _publish(
    model: GraphVae,
    assignment: Assignment,
    annotations: Annotations,
    pixels: UInt8[ndarray, "images size size 3"],
    folder: Path,
) -> None:
    """Write the model, and ``names.json`` by what the scored images say of the latents."""
    save_model(model, folder)
    codes = posterior(model, pixels[annotations.positions])[0]
    answers = np.where(annotations.answered, annotations.scores, np.nan)
    strengths = 2 * auroc(codes.numpy(), answers) - 1 if assignment.latents else answers
    low, high = np.quantile(codes.numpy(), BULK, axis=0)
    high = np.maximum(high, low + 1e-3)  # of a latent that never moves, levels stay finite
    rows = []
    for latent in range(model.latent_dim):
        k = assignment.latents.index(latent) if latent in assignment.latents else None
        strength = 0.0 if k is None else float(strengths[latent, k])
        ends = (float(low[latent]), float(high[latent]))
        absent, present = ends if strength >= 0 else ends[::-1]
        rows.append(
            {
                "index": latent,
                "attribute": None if k is None else assignment.attributes[k],
                "strength": abs(strength),
                "sign": -1 if strength < 0 else 1,
                "absent": absent,
                "present": present,
            }
        )
    names = {"latents": rows, "attributes": list(assignment.attributes)}
    (folder / "names.json").write_text(json.dumps(names, indent=2))
