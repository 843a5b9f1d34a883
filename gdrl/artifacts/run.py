"""One run: its artifacts, the attempts that made them, and the only ways in and out of both."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gdrl.artifacts.manifest import MANIFEST, Manifest
from gdrl.artifacts.storage import Storage
from gdrl.artifacts.store import Store, on_disk, open_store
from gdrl.errors import ArtifactCorrupt, ArtifactExists, ArtifactMissing

PACKAGES = ("gdrl", "torch", "ray", "deepspeed", "transformers")


@dataclass(frozen=True)
class Artifact:
    """What a stage writes into."""

    name: str
    path: Path
    """An empty local folder; everything in it becomes the artifact."""
    training: Storage
    """For Ray Train's own checkpoints; the same one each time the stage is run."""


@dataclass(frozen=True)
class Inputs(Mapping[str, Path]):
    """What a stage reads: verified local folders by artifact name."""

    folders: Mapping[str, Path]
    manifests: Mapping[str, dict[str, Any]]
    """The manifest of each input, as plain JSON."""
    sources: Mapping[str, "Source"]
    """The address of each input, for work on other machines."""

    def __getitem__(self, name: str) -> Path:
        return self.folders[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.folders)

    def __len__(self) -> int:
        return len(self.folders)


@dataclass(frozen=True)
class Run:
    """A named folder in a store."""

    store: Store
    name: str

    def manifest(self, artifact: str) -> Manifest | None:
        """The manifest of a finished artifact; None where it is not finished.

        Raises:
            ArtifactCorrupt: it is not what was written.
        """
        key = f"{self.name}/{artifact}/{MANIFEST}"
        content = self.store.read(key)
        if content is None:
            return None
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError as error:
            raise self._no_manifest(key, f"is no manifest ({_first(error)})") from error
        if manifest.artifact != artifact:
            raise self._no_manifest(key, f"is the manifest of {manifest.artifact}")
        return manifest

    def finished(self, artifact: str) -> Manifest:
        """The manifest of an artifact that must be finished.

        Raises:
            ArtifactMissing: where it is not.
        """
        manifest = self.manifest(artifact)
        if manifest is None:
            raise ArtifactMissing(
                f"run {self.name!r} has no finished {artifact} under {self.store.location('')}"
            )
        return manifest

    def open(self, artifact: str, only: Collection[str] | None = None) -> Path:
        """A local folder with the files of a finished artifact, or ``only`` these, each checked.

        Raises:
            ArtifactMissing: where it is not finished.
            ArtifactCorrupt: naming the first file that differs from the manifest.
        """
        return self.fetch(self.finished(artifact), only)

    def fetch(self, manifest: Manifest, only: Collection[str] | None = None) -> Path:
        """As :meth:`open`, of an artifact whose manifest was read before."""
        chosen = [entry for entry in manifest.files if only is None or entry.path in only]
        return self.store.fetch(self._tree(manifest), chosen)

    def address(self, artifact: str, path: str) -> Storage:
        """Where a file of a finished artifact lies.

        Raises:
            ArtifactMissing: where it is not finished.
        """
        return self.store.location(f"{self._tree(self.finished(artifact))}/{path}")

    def source(self, artifact: str) -> "Source":
        """The address of an artifact."""
        return Source(self.store.location(""), self.name, artifact)

    def begin(self, artifact: str, stage: str) -> Artifact:
        """A working folder; leftovers of processes that died are deleted."""
        return Artifact(
            name=artifact,
            path=self.store.workspace(f"{self.name}/{artifact}"),
            training=self.store.location(f"{self.name}/training/{stage}"),
        )

    def commit(self, artifact: Artifact, manifest: Manifest) -> None:
        """Publish a working folder under its manifest, written last.

        Raises:
            ArtifactExists: another job finished this artifact first; its files are untouched.
        """
        text = manifest.model_dump_json(indent=2)
        with on_disk(artifact.path, "make room there"):
            (artifact.path / MANIFEST).write_text(text, encoding="utf-8")
        try:
            self.store.publish(artifact.path, f"{self.name}/{artifact.name}")
        except FileExistsError as error:
            raise ArtifactExists(
                f"{self.name}/{artifact.name} was finished by another job first; "
                "run the same command again to go on from it"
            ) from error

    def discard(self, artifact: str, stage: str) -> None:
        """Delete an artifact and the checkpoints of the stage that made it."""
        self.store.discard(f"{self.name}/{artifact}")
        self.store.discard(f"{self.name}/training/{stage}")

    def attempt(self, settings: Mapping[str, Any]) -> str:
        """Open the next ``attempts/0001`` with the resolved settings and versions; its number."""
        key = f"{self.name}/attempts"
        number = len(self.store.names(key))
        while True:
            number += 1
            try:
                self.store.create(f"{key}/{number:04d}/config.json", _json(settings))
            except FileExistsError:
                continue  # another job's attempt began just now
            break
        versions = {**package_versions(), "git_commit": git_commit()}
        self.store.create(f"{key}/{number:04d}/versions.json", _json(versions))
        return f"{number:04d}"

    def settings(self, attempt: str = "") -> Any:
        """The resolved settings of an attempt, or of the last, as JSON; {} where none is stored."""
        key = f"{self.name}/attempts"
        attempt = attempt or max(self.store.names(key), default="")
        return json.loads(self.store.read(f"{key}/{attempt}/config.json") or "{}")

    def log(self, attempt: str, line: str) -> None:
        """Add a line to an attempt's log."""
        self.store.append(f"{self.name}/attempts/{attempt}/log.txt", line + "\n")

    def _tree(self, manifest: Manifest) -> str:
        return self.store.tree(f"{self.name}/{manifest.artifact}", manifest)

    def _no_manifest(self, key: str, what: str) -> ArtifactCorrupt:
        return ArtifactCorrupt(
            f"{self.store.location(key)} {what}; delete its folder and run the same command again "
            "to make the artifact anew"
        )


@dataclass(frozen=True)
class Source:
    """A finished artifact by its address: each machine opens it for itself. Small; pickles."""

    storage: Storage
    run: str
    artifact: str

    def open(self, only: Collection[str] | None = None) -> Path:
        """As :meth:`Run.open`, on the machine that calls it."""
        return Run(open_store(self.storage), self.run).open(self.artifact, only)


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions as installed, read without importing anything."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return {"python": platform.python_version(), **found}


def git_commit() -> str | None:
    """The commit that the package's source is checked out at; None outside a checkout."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git on this machine
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _first(error: ValidationError) -> str:
    return error.errors()[0]["msg"]


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2).encode()
