"""What earlier stages say about latents: names, scores and measured edges, as tensors."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from numpy import ndarray
from torch import Tensor

from gdrl.data.scores import read_scores
from gdrl.errors import DataError
from gdrl.graph import CorrelationGraph


@dataclass(frozen=True)
class Assignment:
    """Which latent carries which attribute; ``signs`` turns each the way of its attribute.

    Attributes without a latent are not in it: the measured graph is all that is known of them.
    """

    attributes: tuple[str, ...]
    latents: tuple[int, ...]
    signs: Float[Tensor, " latent"]


@dataclass(frozen=True)
class Annotations:
    """The MLLM's scores of some training images, by position in the training split."""

    positions: Int64[ndarray, " scored"]
    scores: Float[Tensor, "scored attribute"]
    """In [0, 1]; 0 where unanswered."""
    answered: Bool[Tensor, "scored attribute"]

    def of(self, columns: Sequence[int]) -> "Annotations":
        """Those of some attributes, in this order."""
        chosen = list(columns)
        return Annotations(self.positions, self.scores[:, chosen], self.answered[:, chosen])


def assign(
    names: Path, kl: Float[ndarray, " latent"], attributes: tuple[str, ...], *, complete: bool
) -> Assignment:
    """Give attributes their matched latents; ``complete``: and the others what is free.

    The free latents that carry least go first, to the attributes listed first; where there are more
    attributes than latents, the last ones get none.

    Args:
        names: the ``names`` artifact.
        kl: how much each latent tells about an image, in nats; the least told are least missed.
        attributes: the scored attributes.
        complete: whether a latent can be made to carry an attribute, as alignment does.
    """
    rows = json.loads((names / "names.json").read_text())["latents"]
    taken = {row["attribute"]: row["index"] for row in rows if row["attribute"] in attributes}
    signs = torch.ones(len(kl))
    for row in rows:
        if row["attribute"] in taken:
            signs[row["index"]] = float(row["sign"])
    if complete:
        free = [int(latent) for latent in np.argsort(kl) if latent not in taken.values()]
        unmatched = [name for name in attributes if name not in taken]
        taken |= dict(zip(unmatched, free, strict=False))
    named = tuple(name for name in attributes if name in taken)
    return Assignment(named, tuple(taken[name] for name in named), signs)


def assign_in_order(attributes: tuple[str, ...], latent_dim: int) -> Assignment:
    """Latent i is the i-th attribute, as in the paper, whose graph has attributes for nodes."""
    named = attributes[:latent_dim]
    return Assignment(named, tuple(range(len(named))), torch.ones(latent_dim))


def read_annotations(
    folder: Path, ids: Int64[ndarray, " images"]
) -> tuple[tuple[str, ...], Annotations]:
    """The attributes asked about, and their scores for the images with these (ascending) ids.

    Raises:
        DataError: none of the scored images is among them.
    """
    scores = read_scores(folder)
    here = np.isin(scores.ids, ids)
    if not here.any():
        raise DataError(f"{folder} scores none of the training images: score this data set")
    levels = scores.levels[here].astype(np.float32)
    answered = ~np.isnan(levels)
    return scores.attributes, Annotations(
        positions=np.searchsorted(ids, scores.ids[here]),
        scores=torch.from_numpy(np.where(answered, levels, 0.0).astype(np.float32)),
        answered=torch.from_numpy(answered),
    )


def edge_prior(
    graph: CorrelationGraph, assignment: Assignment, *, drawn_only: bool
) -> tuple[Float[Tensor, "latent latent"], Float[Tensor, "latent latent"]]:
    """Target weight and confidence of every edge between latents.

    Confidence is 1 minus the width of the interval, at least 0; latents without an attribute have
    none.

    Args:
        graph: the measured graph.
        assignment: which latents are its nodes.
        drawn_only: whether an edge that was not drawn is a measured 0.

    Raises:
        DataError: an attribute is no node of the graph.
    """
    size = len(assignment.signs)
    rows = _between(graph, assignment)
    target, confidence = torch.zeros(size, size), torch.zeros(size, size)
    at = np.ix_(assignment.latents, assignment.latents)
    width = graph.upper[rows] - graph.lower[rows]
    weights = graph.drawn_weights if drawn_only else graph.adjacency
    target[at] = torch.from_numpy(weights[rows]).float()
    confidence[at] = torch.from_numpy(np.clip(1 - width, 0, 1)).float()
    confidence.fill_diagonal_(0)
    return target, confidence


def refined_graph(
    graph: CorrelationGraph, assignment: Assignment, edges: Float[Tensor, "latent latent"]
) -> CorrelationGraph:
    """The measured graph with the learned weights in place of the measured ones.

    Edges of an attribute without a latent stay as measured.
    """
    learned = edges.double().numpy()[np.ix_(assignment.latents, assignment.latents)]
    weights = graph.adjacency.copy()
    weights[_between(graph, assignment)] = learned
    return replace(graph, adjacency=weights)


def _between(graph: CorrelationGraph, assignment: Assignment) -> tuple[ndarray, ...]:
    """Index of the graph's matrices that picks the edges between assigned attributes."""
    if missing := [name for name in assignment.attributes if name not in graph.names]:
        raise DataError(
            f"graph has no node for {', '.join(missing)}, which scores holds answers to: take "
            "graph and scores from one run"
        )
    order = [graph.names.index(name) for name in assignment.attributes]
    return np.ix_(order, order)
