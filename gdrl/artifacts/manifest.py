"""What a finished artifact says about itself, and the fingerprint that guards it."""

import hashlib
import json
import math
from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from gdrl.config import Name

MANIFEST = "manifest.json"

Metrics = Mapping[str, int | float]
"""What a stage returns: flat numbers by name. A number that is not finite is stored as null."""


class FileEntry(BaseModel):
    """One file of an artifact; ``path`` is relative to the artifact's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]

    @field_validator("path")
    @classmethod
    def _inside(cls, path: str) -> str:
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} leads out of the artifact's folder")
        return path


class Manifest(BaseModel):
    """Everything that must be known of an artifact without opening its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    artifact: Name
    stage: Name
    fingerprint: str
    """Of stage, recipe and inputs; see :func:`fingerprint`."""
    recipe: dict[str, Any]
    """The sections that the stage read, resolved, by dotted key."""
    inputs: dict[str, str]
    """The fingerprint of each input artifact."""
    files: tuple[FileEntry, ...]
    metrics: dict[str, int | float | None]
    versions: dict[str, str]
    git_commit: str | None
    attempt: str
    started: float
    """Unix time in seconds."""
    seconds: float
    created: str
    """When it was finished, ISO 8601 with time zone."""


def fingerprint(stage: str, recipe: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """Sha256 (hex) of the canonical JSON of what bears on an artifact's content.

    Input artifacts count by their own fingerprints, so the fingerprint of the last stage follows
    from the recipe alone: a plan needs no file but the manifests.
    """
    content = {"stage": stage, "recipe": dict(recipe), "inputs": dict(inputs)}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def describe_files(folder: Path) -> tuple[FileEntry, ...]:
    """Size and sha256 of every file below ``folder``, in order of path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return tuple(
        FileEntry(
            path=path.relative_to(folder).as_posix(),
            size=path.stat().st_size,
            sha256=sha256_of(path),
        )
        for path in files
    )


def sha256_of(path: Path) -> str:
    """Sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_metrics(metrics: Metrics) -> dict[str, int | float | None]:
    """Metrics as JSON numbers: NumPy scalars become Python's, what is not finite becomes None."""
    return {name: _plain(value) for name, value in metrics.items()}


def _plain(value: object) -> int | float | None:
    if isinstance(value, Integral):
        return int(value)
    number = float(value)  # type: ignore[arg-type]  # NumPy's float32 is no float, yet converts
    return number if math.isfinite(number) else None
