"""Opening what artifacts hold, where anything optional may be absent."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Matrix = list[list[float | None]]
"""Row i, column j; ``None`` where nothing is known."""


@dataclass(frozen=True)
class Sources:
    """The artifact folders of one run and their manifests; an artifact may be missing."""

    artifacts: Mapping[str, Path]
    manifests: Mapping[str, Mapping[str, Any]]

    @property
    def is_contrastive(self) -> bool:
        """Whether the factors are unmixed features of contrastive pairs."""
        return "components" in self.artifacts or "encoders" in self.artifacts

    @property
    def extractor(self) -> str:
        """What found the factors, before the graph."""
        if not self.is_contrastive:
            return "β-VAE"
        method = str(self.json("components", "unmixing.json").get("method", "ica"))
        name = {"ica": "ICA", "pca": "PCA"}.get(method, method.replace("_", " "))
        return name if self.is_pretrained else f"contrastive {name}"

    @property
    def is_pretrained(self) -> bool:
        """Whether those features are of a model that was not trained here."""
        return self.file("encoders", "features.parquet") is not None

    def file(self, artifact: str, name: str) -> Path | None:
        """The file ``name`` of ``artifact``, or ``None`` where either does not exist."""
        folder = self.artifacts.get(artifact)
        if folder is None or not (folder / name).is_file():
            return None
        return folder / name

    def json(self, artifact: str, name: str) -> dict[str, Any]:
        """The JSON object in a file; empty where the file does not exist."""
        path = self.file(artifact, name)
        if path is None:
            return {}
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    def json_lines(self, artifact: str, name: str) -> list[dict[str, Any]]:
        """The objects of a JSON-lines file, in order; empty where the file does not exist."""
        path = self.file(artifact, name)
        if path is None:
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    @property
    def steps(self) -> tuple[int, int] | None:
        """How long the extractor and the joint stage trained, where both have logged it."""
        extracting = "components" if self.is_contrastive else "vae"
        before, joint = (
            self.json_lines(artifact, "metrics.jsonl") for artifact in (extracting, "disgraph")
        )
        return (before[-1]["step"], joint[-1]["step"]) if before and joint else None

    def metrics(self, artifact: str) -> dict[str, float]:
        """The flat metrics in the artifact's manifest, finite ones only."""
        found = self.manifests.get(artifact, {}).get("metrics") or {}
        numbers = {name: finite(value) for name, value in found.items()}
        return {name: value for name, value in numbers.items() if value is not None}


def finite(value: object) -> float | None:
    """``value`` as a float, or ``None`` where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def matrix(rows: Sequence[Sequence[object]] | None) -> Matrix | None:
    """JSON rows as a matrix; NaN and null become ``None``."""
    if not rows:
        return None
    return [[finite(value) for value in row] for row in rows]


def reordered(values: Matrix | None, have: Sequence[str], want: Sequence[str]) -> Matrix | None:
    """A matrix over the names ``have``, in the order ``want``; ``None`` if a name is missing."""
    if values is None or not set(want) <= set(have):
        return None
    at = [list(have).index(name) for name in want]
    return [[values[i][j] for j in at] for i in at]
