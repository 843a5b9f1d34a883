"""The stages as data, and what a plan says of each: done, to do, or drifted.

A plan reads manifests and nothing else; it needs no torch, no Ray and none of the stages' modules.
"""

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel

from gdrl.artifacts import Run, Store, fingerprint
from gdrl.config import Extractor, RunConfig
from gdrl.errors import ArtifactDrift, ArtifactMissing, ConfigError


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline; it makes exactly one artifact."""

    name: str
    artifact: str
    needs: tuple[str, ...] = ()
    """Artifacts that must be finished first, and that the stage may open."""
    reads: tuple[str, ...] = ()
    """Dotted recipe sections that bear on the artifact."""
    package: str = "gdrl.stages"

    @property
    def module(self) -> str:
        """Where its ``run(config, inputs, out) -> metrics`` is."""
        return f"{self.package}.{self.name}"


STOPPING = "recipe.stopping"
"""What decides when enough has been asked: ``recipe.graph``, where it decides at all."""

EXTRACTORS: Mapping[Extractor, tuple[Stage, ...]] = {
    "beta_vae": (Stage("train_vae", "vae", ("dataset",), ("recipe.vae",)),),
    "contrastive_ica": (
        Stage("train_encoders", "encoders", ("dataset", "scores"), ("recipe.encoders",)),
        Stage("unmix", "components", ("dataset", "encoders"), ("recipe.unmixing",)),
    ),
}
"""What finds the factors, by ``recipe.extractor``; the last artifact holds them."""


def extracted_by(extractor: Extractor) -> str:
    """The artifact with the model that encodes images to factors and back, before the graph."""
    return _artifacts(extractor)[-1]


def _artifacts(extractor: Extractor) -> list[str]:
    return [stage.artifact for stage in EXTRACTORS[extractor]]


@cache
def stages_of(extractor: Extractor) -> tuple[Stage, ...]:
    """Every stage of a run after the ones that it needs."""
    extracting, extracted = EXTRACTORS[extractor], extracted_by(extractor)
    asked = ("recipe.attributes", "recipe.mllm", "recipe.scores", STOPPING)
    named = ("recipe.extractor", "recipe.matching", "recipe.mllm")
    measured = ("recipe.evaluation", "recipe.matching", "recipe.mllm")
    trained = ("dataset", extracted, "scores", "names", "graph")
    shown = ("dataset", *_artifacts(extractor), *trained[2:], "disgraph", "evaluation")
    return (
        Stage("prepare_data", "dataset", (), ("recipe.dataset",)),
        Stage("score_images", "scores", ("dataset",), asked),
        *extracting,
        Stage("match_latents", "names", ("dataset", extracted, "scores"), named),
        Stage("build_graph", "graph", ("scores",), ("recipe.graph",)),
        Stage("train_graph", "disgraph", trained, ("recipe.disgraph",)),
        Stage("evaluate", "evaluation", (*trained, "disgraph"), measured),
        Stage("report", "report", shown),
    )


STAGE_OF = {
    stage.artifact: stage.name for extractor in EXTRACTORS for stage in stages_of(extractor)
}
"""Every artifact that a run may hold, and the stage that makes it."""

SO_FAR = "so-far.jsonl"
"""Beside a stage's checkpoints, where the stage writes one: how many ``images`` are done ``of`` how
many, a line now and then, some with the ``edges`` that they give."""

ANSWERS = "mllm-cache"
"""At the storage's root: what MLLMs answered, by content."""

Action = Literal["skip", "run", "drift", "blocked"]


@dataclass(frozen=True)
class Change:
    """One field that differs between a finished artifact and what is asked for now."""

    field: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.field}: {_short(self.old)} -> {_short(self.new)}"


@dataclass(frozen=True)
class Decision:
    """What a plan says of one stage."""

    stage: Stage
    action: Action
    """``skip``: finished. ``run``: to be made. ``drift``: finished, with other settings or inputs.
    ``blocked``: not made, and what it needs has drifted."""
    run: str
    """The run whose artifact is meant: another one's where it is borrowed."""
    fingerprint: str
    recipe: Mapping[str, Any]
    inputs: Mapping[str, str]
    changes: tuple[Change, ...] = ()


def plan(config: RunConfig, store: Store, stages: Sequence[Stage] | None = None) -> list[Decision]:
    """Decide for every stage, in the stages' order: those of the recipe's extractor, if not given.

    Raises:
        ConfigError: ``inputs`` names no artifact of the pipeline.
        ArtifactMissing: a borrowed artifact is not finished.
    """
    if stages is None:
        stages = stages_of(config.recipe.extractor)
    known = [stage.artifact for stage in stages]
    for artifact in config.inputs:
        if artifact not in known:
            meant = difflib.get_close_matches(artifact, known, n=1) or known
            raise ConfigError(f"inputs.{artifact}: no such artifact; there is {', '.join(meant)}")
    decisions: dict[str, Decision] = {}
    for stage in stages:
        decisions[stage.artifact] = _decide(stage, decisions, config, store)
    return list(decisions.values())


def refuse_drift(decisions: Sequence[Decision]) -> None:
    """Raise ArtifactDrift with each changed field and the remedies, where anything has drifted."""
    drifted = [decision for decision in decisions if decision.action == "drift"]
    if not drifted:
        return
    roots = [decision for decision in drifted if _is_root(decision)] or drifted
    lines = [f"run {roots[0].run!r} holds artifacts that were made otherwise:"]
    lines += [f"  {d.stage.artifact}  {change}" for d in roots for change in d.changes]
    followers = [decision.stage.artifact for decision in drifted if decision not in roots]
    if followers:
        lines.append(f"  and what was made from that: {', '.join(followers)}")
    lines.append(
        "keep them and choose another name (name=…), or say --overwrite to delete them and make "
        "them again, with all that depends on them"
    )
    raise ArtifactDrift("\n".join(lines))


def select(artifact: str, decisions: Sequence[Decision]) -> list[Decision]:
    """The decision on one artifact after those on what it needs, which must be finished.

    Raises:
        ArtifactMissing: naming the jobs to run first.
        ConfigError: another extractor than the recipe's makes this artifact.
    """
    needed: set[str] = {artifact}
    for decision in reversed(decisions):
        if decision.stage.artifact in needed:
            needed.update(decision.stage.needs)
    chosen = [decision for decision in decisions if decision.stage.artifact in needed]
    if not chosen:
        raise ConfigError(
            f"{artifact} is not made with this recipe.extractor, but by "
            f"{' or '.join(name for name in EXTRACTORS if artifact in _artifacts(name))}; set it"
        )
    missing = [d.stage.name for d in chosen[:-1] if d.action == "run"]
    if missing and chosen[-1].action != "skip":
        jobs = ", ".join(f"jobs/{name}.py" for name in missing)
        raise ArtifactMissing(
            f"{artifact} needs what run {chosen[-1].run!r} has not finished: run {jobs} first, or "
            "jobs/pipeline.py, which runs all that is missing"
        )
    return chosen


def dependents(artifact: str, stages: Sequence[Stage]) -> set[str]:
    """An artifact and all that is made from it, by however many steps."""
    found = {artifact}
    for stage in stages:
        if found.intersection(stage.needs):
            found.add(stage.artifact)
    return found


def diff(old: Any, new: Any, prefix: str = "") -> list[Change]:
    """The leaves that differ between two JSON-like values, in order, by dotted field."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        changes = []
        for key in dict.fromkeys([*old, *new]):
            field = f"{prefix}.{key}" if prefix else str(key)
            changes += diff(old.get(key), new.get(key), field)
        return changes
    return [] if old == new else [Change(prefix, old, new)]


def as_set(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest's recipe by the keys that a person sets."""
    return {"recipe.graph" if key == STOPPING else key: value for key, value in recipe.items()}


def recipe_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """:func:`diff` of two manifests' recipes, by the keys that a person sets."""
    if (STOPPING in old) != (STOPPING in new):  # one asked about all: its width is 0
        old, new = ({**recipe, STOPPING: _width(recipe)} for recipe in (old, new))
    return diff(as_set(old), as_set(new))


def _width(recipe: Mapping[str, Any]) -> dict[str, float]:
    return {"interval_width": recipe.get(STOPPING, {}).get("interval_width", 0.0)}


def _decide(
    stage: Stage, earlier: Mapping[str, Decision], config: RunConfig, store: Store
) -> Decision:
    lender = config.inputs.get(stage.artifact)
    if lender is not None:
        lent = Run(store, lender).finished(stage.artifact)
        return Decision(stage, "skip", lender, lent.fingerprint, lent.recipe, lent.inputs)
    sections = {section: _section(config, section) for section in stage.reads}
    recipe = {section: content for section, content in sections.items() if content is not None}
    inputs = {name: earlier[name].fingerprint for name in stage.needs}
    wanted = fingerprint(stage.name, recipe, inputs)
    finished = Run(store, config.name).manifest(stage.artifact)
    if finished is None:
        needs_drifted = any(earlier[name].action in ("drift", "blocked") for name in stage.needs)
        action: Action = "blocked" if needs_drifted else "run"
        return Decision(stage, action, config.name, wanted, recipe, inputs)
    if finished.fingerprint == wanted:
        return Decision(stage, "skip", config.name, wanted, recipe, inputs)
    changes = (*recipe_diff(finished.recipe, recipe), *diff(finished.inputs, inputs, "inputs"))
    return Decision(stage, "drift", config.name, wanted, recipe, inputs, changes)


def _section(config: RunConfig, section: str) -> Any:
    """A section as JSON, or None; the embedded MLLM's comes with the revision of its weights."""
    value: Any = config
    for name in section.split("."):
        value = getattr(value, name)
    if not isinstance(value, BaseModel):
        return value if value is None or isinstance(value, str) else list(value)
    content = value.model_dump(mode="json")
    if section == "recipe.mllm" and config.recipe.mllm.is_embedded:
        content["revision"] = _embedded_revision()
    return content


@cache
def _embedded_revision() -> str:
    weights = files("gdrl").joinpath("mllm", "tiny_llava", "model.safetensors")
    return hashlib.sha256(weights.read_bytes()).hexdigest()[:12] if weights.is_file() else "absent"


def _is_root(decision: Decision) -> bool:
    """Whether settings of its own changed, not only what it was made from."""
    return any(not change.field.startswith("inputs.") for change in decision.changes)


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:14] + "…"
