"""What ``gdrl plan``, ``status``, ``show``, ``diff`` and ``gc`` say, as text."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gdrl.artifacts import Manifest, Run, Store
from gdrl.capacity import Estimate, Rates, Work
from gdrl.errors import ArtifactMissing
from gdrl.garbage import Garbage
from gdrl.pipeline import (
    EXTRACTORS,
    SO_FAR,
    STAGE_OF,
    Decision,
    Stage,
    as_set,
    diff,
    recipe_diff,
    stages_of,
)


def find_run(store: Store, name: str) -> Run:
    """A run that exists.

    Raises:
        ArtifactMissing: naming the nearest run.
    """
    known = store.names("")
    if name in known:
        return Run(store, name)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "--storage names another folder"
    raise ArtifactMissing(f"no run {name!r} under {store.location('')}; {hint}")


def describe_plan(decisions: Sequence[Decision]) -> str:
    """One line a stage, and below it what has changed."""
    lines = []
    for decision in decisions:
        stage = decision.stage
        line = f"{decision.action:<8} {stage.name:<14} {decision.run}/{stage.artifact}"
        lines += [line, *(f"{'':<24}{change}" for change in decision.changes)]
    return "\n".join(lines)


def describe_run(run: Run) -> str:
    """One line an artifact: when it was finished, in what time, how large; or how far it is.

    Below, as long as it is not finished, the graph of the answers so far.
    """
    rows, blocks = [], []
    for stage in _stages(run):
        manifest = run.manifest(stage.artifact)
        if manifest is not None:
            rows.append((stage.artifact, "finished", *_when_and_how_large(manifest)))
            continue
        told = _so_far(run, stage)
        how_far = f"{told[-1]['images']}/{told[-1]['of']} images so far" if told else ""
        rows.append((stage.artifact, "missing", how_far, "", ""))
        blocks += [_graph_so_far(line) for line in told if "edges" in line][-1:]
    return "\n\n".join([_columns(rows), *blocks])


def describe_artifact(manifest: Manifest, location: str) -> str:
    """Everything that a manifest says, for a person."""
    made = f"{manifest.stage}, attempt {manifest.attempt}"
    head = [("artifact", location), ("made by", made), ("created", manifest.created)]
    head += [("seconds", f"{manifest.seconds:.1f}"), ("fingerprint", manifest.fingerprint)]
    head += [("git commit", manifest.git_commit or "none")]
    sections = {
        "metrics": [(name, _number(value)) for name, value in manifest.metrics.items()],
        "recipe": [(name, json.dumps(value)) for name, value in as_set(manifest.recipe).items()],
        "inputs": list(manifest.inputs.items()),
        "versions": list(manifest.versions.items()),
        "files": [(entry.path, _size(entry.size)) for entry in manifest.files],
    }
    blocks = [_columns(head)]
    for title, rows in sections.items():
        if rows:
            blocks.append(f"{title}\n{_columns(rows, indent='  ')}")
    return "\n\n".join(blocks)


def describe_difference(old: Run, new: Run) -> str:
    """By artifact: recipe fields and metrics that differ; inputs only follow from these."""
    lines = []
    for artifact in STAGE_OF:
        before, after = old.manifest(artifact), new.manifest(artifact)
        if before is None or after is None:
            if before is not after:
                lines.append(f"{artifact}  only in {(old if before else new).name}")
            continue
        changes = recipe_diff(before.recipe, after.recipe)
        changes += diff(before.metrics, after.metrics, "metrics")
        lines += [f"{artifact}  {change}" for change in changes]
    return "\n".join(lines) or "no difference"


def describe_garbage(found: Sequence[Garbage], *, deleted: bool) -> str:
    """One line each: key, size, reason; the sum last."""
    if not found:
        return "nothing to delete"
    rows = [(garbage.key, _size(garbage.size), garbage.reason) for garbage in found]
    num_objects = sum(len(garbage.objects) for garbage in found)
    verb = "deleted" if deleted else "--delete would delete"
    total = f"{verb} {num_objects} files, {_size(sum(garbage.size for garbage in found))}"
    return f"{_columns(rows)}\n{total}"


def describe_capacity(
    work: Work, rates: Rates, splits: Iterable[Estimate], chosen: Estimate
) -> str:
    """What was measured, the chosen split among its neighbours, and the settings that make it."""
    head = (
        f"measured: a replica answers about {rates.replica:.3g} images/s, a trainer takes "
        f"{rates.vae:.3g}/s, in the joint stage {rates.joint:.3g}/s"
    )
    rows = [("trainers", "replicas", "hours", "dollars", "waits for", "")]
    for split in splits:
        steps = abs(_doublings(split.trainers, chosen.trainers))
        steps += abs(_doublings(split.replicas, chosen.replicas))
        if steps <= 1:
            numbers = (str(split.trainers), str(split.replicas), f"{split.seconds / 3600:.2f}")
            mark = "<-" if split == chosen else ""
            rows.append((*numbers, f"{split.dollars:.2f}", split.waits_for, mark))
    settings = (
        f"scale.vae.num_workers={chosen.trainers} scale.disgraph.num_workers={chosen.trainers} "
        f"scale.mllm.num_replicas={chosen.replicas} "
        f"scale.stream.max_in_flight={2 * chosen.replicas * work.request}"
    )
    return f"{head}\n{_columns(rows)}\n{settings}"


def _stages(run: Run) -> tuple[Stage, ...]:
    """Those of the extractor that its last attempt was told to use."""
    extractor = run.settings().get("recipe", {}).get("extractor")
    return stages_of(extractor if extractor in EXTRACTORS else "beta_vae")


def _doublings(number: int, other: int) -> int:
    return number.bit_length() - other.bit_length()


def _so_far(run: Run, stage: Stage) -> list[dict[str, Any]]:
    log = run.store.read(f"{run.name}/training/{stage.name}/{SO_FAR}") or b""
    whole = log.rpartition(b"\n")[0]  # what follows is being written
    return [json.loads(line) for line in whole.splitlines()]


def _graph_so_far(line: Mapping[str, Any]) -> str:
    rows = [
        (source, "->", target, f"{weight:+.2f}", f"{lower:+.2f} to {upper:+.2f}")
        for source, target, weight, lower, upper in line["edges"]
    ]
    head = f"graph of {line['images']} images, widest interval {line['widest_interval']:.2f}"
    return f"{head}\n{_columns(rows, indent='  ')}" if rows else f"{head}: no edge"


def _when_and_how_large(manifest: Manifest) -> tuple[str, str, str]:
    size = sum(entry.size for entry in manifest.files)
    return manifest.created, f"{manifest.seconds:.1f} s", _size(size)


def _number(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB" if num_bytes >= 100_000 else f"{num_bytes:,} B"


def _columns(rows: Iterable[tuple[str, ...]], indent: str = "") -> str:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
