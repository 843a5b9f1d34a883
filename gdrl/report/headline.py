"""Three sentences and a few figures: what the run found."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gdrl.report.factors import Factors
from gdrl.report.relations import Relation, Relations
from gdrl.report.sources import Sources, finite
from gdrl.report.wording import (
    Number,
    compact,
    count,
    number,
    percent,
    plural,
    readable,
    signed,
    words,
)


@dataclass(frozen=True)
class Figure:
    """A key figure: its value, what it is, and what it would be compared with."""

    value: str
    label: str
    note: str


@dataclass(frozen=True)
class Headline:
    """The top of the page."""

    sentences: list[str]
    figures: list[Figure]


def write_headline(
    sources: Sources, relations: Relations | None, factors: Factors, num_attributes: int
) -> Headline:
    """Sentences on the factors, the relations and how they compare with the truth, if any."""
    dataset = sources.json("dataset", "dataset.json")
    evaluation = sources.json("evaluation", "evaluation.json")
    found: Mapping[str, Any] = evaluation.get("metrics") or sources.metrics("evaluation")
    metrics = {name: value for name in found if (value := finite(found[name])) is not None}
    has_truth = relations is not None and relations.truth is not None
    sentences = [
        _on_factors(dataset, metrics, factors, num_attributes),
        _on_relations(relations),
        _on_truth(metrics, has_truth, bool(evaluation), sources),
    ]
    figures = _figures(metrics, num_attributes, factors, relations, sources)
    return Headline(sentences, figures)


def _on_factors(
    dataset: Mapping[str, Any], metrics: Mapping[str, float], factors: Factors, num_attributes: int
) -> str:
    images = plural(finite(dataset.get("num_images")) or 0, "image")
    origin = {"world": "synthetic images", "folder": "images from a folder"}
    kind = images.replace("images", origin.get(str(dataset.get("kind")), "images"))
    if not dataset:
        kind = "its images"
    if not factors.named:
        return f"From {kind}, the run found no latent that carries one of the names asked about."
    matched = metrics.get("matched_attributes", len(factors.attributes))
    agreeing = metrics.get("agreeing_witnesses", factors.num_agreeing)
    return (
        f"From {kind}, and without a human label, the run found a latent of its own for "
        f"{count(matched)} of {plural(num_attributes, 'attribute')}; for {count(agreeing)} a "
        "second witness, shown pictures of what the latent changes, arrived at the same name."
    )


def _on_relations(relations: Relations | None) -> str:
    if relations is None:
        return "No stage has built a graph yet."
    if not relations.found:
        return "No relation between attributes stands out from chance."
    total = f"It drew {plural(len(relations.found), 'directed relation')} between them"
    if not relations.signed:
        best = relations.found[0]
        strongest = f"{_named(best, 'source')} bears most on {_named(best, 'target')}"
        return f"{total}; {strongest} ({number(best.measured)}, {best.interval})."
    positive = next((pair for pair in relations.found if (pair.measured or 0) > 0), None)
    negative = next((pair for pair in relations.found if (pair.measured or 0) < 0), None)
    parts = []
    if positive is not None:
        parts.append(f"where there is {_named(positive, 'source')}, {_move(positive, 'more')}")
    if negative is not None:
        parts.append(f"where there is {_named(negative, 'source')}, {_move(negative, 'less')}")
    which = "the strongest" if len(parts) == 1 else "the strongest of either sign"
    return f"{total}; {which}: {', and '.join(parts)}."


def _named(pair: Relation, end: str) -> str:
    return f"“{readable(pair.source_name if end == 'source' else pair.target_name)}”"


def _move(pair: Relation, direction: str) -> str:
    interval = "" if pair.lower is None else f", {pair.interval}"
    return f"{_named(pair, 'target')} is {direction} likely ({signed(pair.measured)}{interval})"


def _on_truth(
    metrics: Mapping[str, float], has_truth: bool, is_evaluated: bool, sources: Sources
) -> str:
    if not is_evaluated:
        return "Nothing has been evaluated yet, so nothing here says how far to trust it."
    if not has_truth:
        return (
            "These images come without a known truth, so nothing here can say how many of these "
            "relations are right."
        )
    parts = []
    if "edge_auroc" in metrics:
        parts.append(
            "the true edges are told from the others with an AUROC of "
            f"{number(metrics['edge_auroc'], 3)}"
        )
    if "sign_accuracy" in metrics:
        parts.append(f"{percent(metrics['sign_accuracy'])} of their signs are right")
    if "mse_ratio" in metrics:
        steps = ""
        if sources.steps:
            before, joint = map(count, sources.steps)
            steps = f" ({joint} training steps in the joint stage, {before} before)"
        parts.append(
            f"the decoder that uses the graph makes {number(metrics['mse_ratio'])} times the error "
            f"of the {sources.extractor} before it on images that neither has seen{steps}"
        )
    if not parts:
        return "The world’s truth is known, but the evaluation holds no figure to compare with it."
    return f"Against the world’s known truth, {words(parts)}."


def _figures(
    metrics: Mapping[str, float],
    num_attributes: int,
    factors: Factors,
    relations: Relations | None,
    sources: Sources,
) -> list[Figure]:
    figures, extractor = [], sources.extractor
    if "matched_attributes" in metrics:
        before = metrics.get("extractor_matched_attributes")
        note = (
            f"{count(before)} by the {extractor} alone" if before is not None else "held-out images"
        )
        value = f"{count(metrics['matched_attributes'])} / {num_attributes}"
        figures.append(Figure(value, "attributes matched to a latent", note))
    if factors.named:
        agreeing = metrics.get("agreeing_witnesses", factors.num_agreeing)
        value = f"{count(agreeing)} / {len(factors.named)}"
        figures.append(Figure(value, "names both witnesses agree on", "scores and strips"))
    if relations is not None:
        figures.append(
            Figure(str(len(relations.found)), "directed relations", "interval without 0")
        )
    steps = "on unseen images"
    if sources.steps:
        steps = f"training steps {' : '.join(map(count, reversed(sources.steps)))}"
    listed: list[tuple[str, str, str, Callable[[Number], str]]] = [
        ("edge_auroc", "edge AUROC", "0.5 is chance", number),
        ("sign_accuracy", "signs right", "of the true edges", percent),
        ("direction_accuracy", "directions right", "of the asymmetric pairs", percent),
        ("mse_ratio", f"error, DisGraph : {extractor}", steps, number),
        ("psnr", "PSNR in dB", "unseen images", compact),
    ]
    for name, label, note, write in listed:
        if name in metrics:
            figures.append(Figure(write(metrics[name]), label, note))
    return figures
