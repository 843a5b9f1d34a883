"""A small finished run, drawn by hand: every artifact that the page reads, none of the stages."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gdrl.data.pictures import slug

NAMES = ("bald", "beard", "smiling", "dark_glasses", "pale background")
VALUES = [round(step / 8, 3) for step in range(9)]


@dataclass(frozen=True)
class Run:
    """Folders and manifests, as a stage hands them to the page."""

    artifacts: dict[str, Path]
    manifests: dict[str, dict[str, Any]]

    def without(self, *artifacts: str) -> "Run":
        """The same run before these artifacts were made."""
        return Run(
            {name: path for name, path in self.artifacts.items() if name not in artifacts},
            {name: value for name, value in self.manifests.items() if name not in artifacts},
        )

    def edit(self, artifact: str, name: str, **changes: Any) -> None:
        """Replace top-level fields of a JSON file."""
        path = self.artifacts[artifact] / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Run]:
    """Builds a run with the given attribute names."""

    def make(names: Sequence[str] = NAMES) -> Run:
        return _write_run(tmp_path / "run", tuple(names))

    return make


@pytest.fixture
def run(make_run: Callable[..., Run]) -> Run:
    """A run on five attributes whose truth is known."""
    return make_run()


def _write_run(root: Path, names: tuple[str, ...]) -> Run:
    rng = np.random.default_rng(0)
    truth = _weights(len(names), rng)
    measured = np.clip(truth + rng.normal(0, 0.03, truth.shape), -1, 1)
    np.fill_diagonal(measured, 0)
    graph = {
        "names": names,
        "adjacency": measured.tolist(),
        "lower": (measured - 0.06).tolist(),
        "upper": (measured + 0.06).tolist(),
        "support": rng.integers(80, 700, truth.shape).tolist(),
        "measure": "conditional_difference",
        "confidence": 0.9,
        "signed": True,
    }
    refined = graph | {"adjacency": (0.95 * measured).tolist()}
    artifacts = {
        name: root / name
        for name in ("dataset", "vae", "scores", "names", "graph", "disgraph", "evaluation")
    }
    for folder in artifacts.values():
        folder.mkdir(parents=True)
    _write(artifacts["dataset"] / "dataset.json", _dataset(names, truth))
    _write(artifacts["scores"] / "scores.json", _scores(names))
    _write(artifacts["graph"] / "graph.json", graph)
    _write(artifacts["disgraph"] / "graph.json", refined)
    for model in ("vae", "disgraph"):
        _write_metrics(artifacts[model] / "metrics.jsonl")
    latents = [_latent(index, names) for index in range(len(names) + 2)]
    _write(artifacts["names"] / "names.json", {"latents": latents, "attributes": names})
    _write(
        artifacts["evaluation"] / "evaluation.json", _evaluation(names, truth, measured, latents)
    )
    _draw_pictures(artifacts, names, measured, len(latents))
    return Run(artifacts, {name: _manifest(order, name) for order, name in enumerate(artifacts)})


def _weights(size: int, rng: np.random.Generator) -> np.ndarray:
    """Sparse signed weights, stronger one way than the other."""
    weights = rng.uniform(0.1, 0.45, (size, size)) * rng.choice([-1, 1], (size, size))
    weights *= rng.random((size, size)) < 0.35
    weights[0, 1], weights[1, 0] = 0.6, 0.31
    weights[0, 2] = -0.42
    np.fill_diagonal(weights, 0)
    return weights


def _dataset(names: tuple[str, ...], truth: np.ndarray) -> dict[str, Any]:
    return {
        "source": "faces",
        "kind": "world",
        "style": "default",
        "num_images": 8000,
        "num_quarantined": 0,
        "image_size": 64,
        "attributes": names,
        "truth": {"adjacency": truth.tolist(), "interventional": truth.tolist(), "prevalence": []},
        "attribution": "Faces drawn by a test, CC0.",
        "seed": 0,
    }


def _scores(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "model": "tiny-llava",
        "revision": "sha256:0123456789abcdef",
        "question_version": "1",
        "num_images": 1500,
        "attributes": names,
        "counts": {"ok": 7489, "unparsable": 8, "refused": 0, "failed": 3},
        "domain": {"checked": True, "outside_fraction": 0.012, "message": ""},
    }


def _latent(index: int, names: tuple[str, ...]) -> dict[str, Any]:
    """A named latent for each attribute, one of them disputed; the rest without a name."""
    if index >= len(names):
        witness = {"attribute": None, "probability": 0.71}
        return _verdicts(index, None, 0.21, None, witness, agree=False)
    disputed = index == 3
    witness = {"attribute": names[0] if disputed else names[index], "probability": 0.88}
    return _verdicts(
        index, names[index], 0.93 - 0.02 * index, 0.995 - 0.004 * index, witness, not disputed
    )


def _verdicts(
    index: int,
    attribute: str | None,
    strength: float,
    auroc: float | None,
    witness: dict[str, Any],
    agree: bool,
) -> dict[str, Any]:
    return {
        "index": index,
        "attribute": attribute,
        "strength": strength,
        "sign": -1 if index == 1 else 1,
        "auroc": auroc,
        "witness": witness,
        "agree": agree,
    }


def _evaluation(
    names: tuple[str, ...],
    truth: np.ndarray,
    measured: np.ndarray,
    latents: list[dict[str, Any]],
) -> dict[str, Any]:
    return {
        "metrics": {
            "edge_auroc": 0.992,
            "sign_accuracy": 1.0,
            "direction_accuracy": 0.93,
            "matched_attributes": float(len(names)),
            "extractor_matched_attributes": 2.0,
            "agreeing_witnesses": float(len(names) - 1),
            "mse": 0.0023,
            "extractor_mse": 0.0026,
            "mse_ratio": 0.87,
            "psnr": 26.4,
        },
        "attributes": names,
        "latents": latents,
        "graph": {
            "names": names,
            "estimated": measured.tolist(),
            "lower": (measured - 0.06).tolist(),
            "upper": (measured + 0.06).tolist(),
            "refined": (0.95 * measured).tolist(),
            "truth": truth.tolist(),
        },
        "interventions": {
            "names": names,
            "values": VALUES,
            "predicted": measured.tolist(),
            "truth": truth.tolist(),
        },
        "domain": {"checked": True, "outside_fraction": 0.012, "message": ""},
    }


def _manifest(order: int, name: str) -> dict[str, Any]:
    started = 1_700_000_000.0 + 40.0 * order
    return {
        "metrics": {"things": 3.0 + order},
        "started": 1_700_000_040.0 if name in ("vae", "scores") else started,
        "seconds": 80.0 if name in ("vae", "scores") else 35.0,
        "created": "2026-01-01T00:00:00Z",
        "versions": {"gdrl": "0.1.0", "torch": "2.13.0"},
        "inputs": {},
        "recipe": {f"recipe.{name}": {"seed": 0}, "recipe.mllm": {"model": "embedded"}},
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content))


def _write_metrics(path: Path) -> None:
    rng = np.random.default_rng(1)
    steps = range(0, 1500, 10)
    rows = [
        {
            "step": step,
            "loss": 900 * 0.99 ** (step / 5) + 20 + rng.random(),
            "reconstruction_loss": 15 + 30 * 0.99 ** (step / 5) + rng.random(),
            "kl": 12 * (1 - 0.99 ** (step / 5)) + rng.random() / 3,
            "images_per_second": 900 + 40 * rng.standard_normal(),
            "seconds": step / 8,
        }
        for step in steps
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _draw_pictures(
    artifacts: dict[str, Path], names: tuple[str, ...], weights: np.ndarray, num_latents: int
) -> None:
    size = len(names)
    people = np.random.default_rng(2).random((12, size)).round()
    seven = np.linspace(0, 1, 7)
    for index in range(num_latents):
        changed = index if index < size else size + 1
        rows = [[_set(face, changed, value) for value in seven] for face in people[:3]]
        _save(artifacts["evaluation"] / f"traversals/latent-{index:02d}.png", rows)
        _save(artifacts["names"] / f"strips/latent-{index:02d}.png", rows[:1])
    for index, name in enumerate(names):
        alone = [[_set(face, index, value) for value in VALUES] for face in people[:4]]
        moved = [
            [_set(face + weights[index] * (value - face[index]), index, value) for value in VALUES]
            for face in people[:4]
        ]
        _save(artifacts["evaluation"] / f"interventions/{slug(name)}.png", moved)
        _save(artifacts["evaluation"] / f"interventions/{slug(name)}-alone.png", alone)
    _save(artifacts["evaluation"] / "reconstructions.png", [list(people)] * 3)


def _set(face: np.ndarray, index: int, value: float) -> np.ndarray:
    changed = face.copy()
    if index < len(face):
        changed[index] = value
    return changed


def _save(path: Path, rows: list[list[np.ndarray]]) -> None:
    path.parent.mkdir(exist_ok=True)
    grid = [np.concatenate([_face(*_five(face)) for face in row], axis=1) for row in rows]
    Image.fromarray(np.concatenate(grid)).save(path)


def _five(factors: np.ndarray) -> list[float]:
    return [round(float(value), 2) for value in np.clip(np.resize(factors, 5), 0, 1)]


@cache
def _face(bald: float, beard: float, smiling: float, glasses: float, pale: float) -> np.ndarray:
    """A 64 x 64 face with these attributes."""
    image = Image.new("RGB", (256, 256), (int(90 + 150 * pale), int(130 + 100 * pale), 190))
    draw = ImageDraw.Draw(image)
    hair = tuple(
        int(c + (s - c) * bald) for c, s in zip((60, 40, 30), (232, 190, 160), strict=True)
    )
    draw.ellipse((48, 28, 208, 190), fill=hair)
    draw.ellipse((56, 56, 200, 236), fill=(232, 190, 160))
    if beard > 0.05:
        draw.chord((70, 236 - 96 * beard, 186, 240), 0, 180, fill=(80, 55, 40))
    for x in (100, 156):
        draw.ellipse((x - 8, 112, x + 8, 128), fill=(30, 30, 35))
        reach = int(24 * glasses)
        draw.ellipse((x - reach, 120 - reach, x + reach, 120 + reach), fill=(30, 34, 40))
    bend = int(34 * smiling)
    draw.arc((96, 180 - bend, 160, 182 + bend), 0, 180, fill=(160, 50, 60), width=7)
    return np.asarray(image.resize((64, 64), Image.Resampling.LANCZOS))
