"""What ran: stages, versions, settings, and who answered the questions."""

import json
from dataclasses import dataclass
from typing import Any

from gdrl.report.figures.timeline import Timeline, draw_timeline
from gdrl.report.sources import Sources, finite
from gdrl.report.wording import count, percent, readable


@dataclass(frozen=True)
class Respondent:
    """The MLLM: which one, what came back, and whether the images were of the kind it knows."""

    model: str
    revision: str
    question_version: str
    num_images: str
    counts: list[tuple[str, str]]
    is_embedded: bool
    domain_message: str
    """The warning of ``score_images``, which the page opens with; empty where none was due."""
    outside: str


@dataclass(frozen=True)
class Record:
    """The bottom of the page."""

    timeline: Timeline
    created: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    metrics: list[tuple[str, list[tuple[str, str]]]]
    recipe: str


def read_respondent(sources: Sources) -> Respondent | None:
    """Who scored the images; ``None`` where nobody has."""
    scores = sources.json("scores", "scores.json")
    if not scores:
        return None
    domain = scores.get("domain") or {}
    fraction = finite(domain.get("outside_fraction"))
    is_embedded = bool(domain.get("checked")) or _recipe_model(sources) == "embedded"
    return Respondent(
        model=str(scores.get("model", "unknown")),
        revision=str(scores.get("revision", "")),
        question_version=str(scores.get("question_version", "")),
        num_images=count(finite(scores.get("num_images"))),
        counts=[(status, count(finite(n))) for status, n in (scores.get("counts") or {}).items()],
        is_embedded=is_embedded,
        domain_message=str(domain.get("message") or ""),
        outside=percent(fraction) if fraction is not None else "",
    )


def read_record(sources: Sources) -> Record:
    """Times, versions, metrics and settings of every finished stage."""
    versions: dict[str, str] = {}
    recipe: dict[str, Any] = {}
    for manifest in sources.manifests.values():
        versions.update(manifest.get("versions") or {})
        if manifest.get("git_commit"):
            versions["git commit"] = manifest["git_commit"]
        recipe.update(manifest.get("recipe") or {})
    return Record(
        timeline=draw_timeline(sources.manifests),
        created=[(name, str(m.get("created", ""))) for name, m in sources.manifests.items()],
        versions=sorted((name, str(version)) for name, version in versions.items()),
        metrics=[
            (name, [(readable(metric), f"{value:.4g}") for metric, value in found.items()])
            for name in sources.manifests
            if (found := sources.metrics(name))
        ],
        recipe=json.dumps(recipe, indent=2, ensure_ascii=False, sort_keys=True) if recipe else "",
    )


def _recipe_model(sources: Sources) -> str:
    recipe = sources.manifests.get("scores", {}).get("recipe") or {}
    return str((recipe.get("recipe.mllm") or {}).get("model", ""))
