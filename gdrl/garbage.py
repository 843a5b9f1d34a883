"""What lies in a storage and no run needs any more.

Everything lies three names deep: ``{run}/{artifact}/…``, ``{run}/training/{stage}/…`` and
``mllm-cache/{model}/{revision}/…``. What shares them is kept or goes as one.
"""

import itertools
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gdrl.artifacts import Run, Store, StoredObject
from gdrl.artifacts.manifest import MANIFEST
from gdrl.pipeline import ANSWERS, STAGE_OF

MIN_AGE_HOURS = 24.0
"""What a job uploads looks like an orphan until its manifest is there, and no upload takes days."""


@dataclass(frozen=True)
class Garbage:
    """Objects that may go, and why."""

    key: str
    reason: str
    objects: tuple[StoredObject, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(stored.size for stored in self.objects)

    @property
    def modified(self) -> float:
        """Unix time of the youngest object: a long upload began with old ones."""
        return max(stored.modified for stored in self.objects)


def find(store: Store, min_age_hours: float = MIN_AGE_HOURS) -> list[Garbage]:
    """What no finished artifact needs and nobody wrote to for so long, in order of key.

    A folder counts as a run where it has attempts: whatever else lies in a storage is not ours.
    """
    runs = [Run(store, name) for name in store.names("") if store.names(f"{name}/attempts")]
    found = [*itertools.chain.from_iterable(map(_of_run, runs)), *_unread_answers(store, runs)]
    latest = time.time() - 3600 * min_age_hours
    return sorted((g for g in found if g.modified < latest), key=lambda garbage: garbage.key)


def delete(store: Store, found: Iterable[Garbage]) -> None:
    """Delete it for good."""
    for garbage in found:
        store.delete([stored.key for stored in garbage.objects])


def _of_run(run: Run) -> Iterator[Garbage]:
    """Files that no manifest names, and checkpoints of stages that have finished."""
    # Listed before the manifests are read: one that is committed meanwhile names what was seen.
    objects = list(run.store.objects(run.name))
    reasons: dict[str, str] = {}
    needed = set[str]()
    for artifact, stage in STAGE_OF.items():
        folder = f"{run.name}/{artifact}"
        manifest = run.manifest(artifact)
        if manifest is None:
            if run.store.location("").is_remote:  # a folder's commit leaves none without
                reasons[folder] = f"{artifact} has no manifest"
            continue
        reasons[folder] = f"not in the manifest of {artifact}"
        reasons[f"{run.name}/training/{stage}"] = f"{artifact} is finished"
        tree = run.store.tree(folder, manifest)
        needed |= {f"{folder}/{MANIFEST}", *(f"{tree}/{entry.path}" for entry in manifest.files)}
    for key, group in _by_folder(stored for stored in objects if stored.key not in needed):
        if reason := reasons.get(key) or reasons.get(key.rpartition("/")[0]):
            yield Garbage(key, reason, group)


def _unread_answers(store: Store, runs: Sequence[Run]) -> Iterator[Garbage]:
    """What an MLLM answered, of models and revisions that no finished scores come from."""
    read = [_answers_of(run) for run in runs if run.manifest("scores")]
    for key, group in _by_folder(store.objects(ANSWERS)):
        if not any(folder.startswith(f"{key}/") for folder in read):
            yield Garbage(key, "no finished scores come from it", group)


def _answers_of(run: Run) -> str:
    scores = run.open("scores", ["scores.json"]) / "scores.json"
    return str(json.loads(scores.read_bytes()).get("answers", ""))  # the first ones had no cache


def _by_folder(
    objects: Iterable[StoredObject],
) -> Iterator[tuple[str, tuple[StoredObject, ...]]]:
    """Objects by the first three names of their keys, in order of key."""
    groups: dict[str, list[StoredObject]] = {}
    for stored in objects:
        groups.setdefault("/".join(stored.key.split("/")[:3]), []).append(stored)
    for key in sorted(groups):
        yield key, tuple(groups[key])
