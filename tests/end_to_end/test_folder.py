"""A folder of photographs, as the README says: embedded MLLM, endpoint, and what can go wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from gdrl.mllm import embedded

ROOT = Path(__file__).parents[2]
PHOTOGRAPHS = ("astronaut", "cat", "coffee", "rocket", "camera", "page", "moon", "text", "coins")
SMALL = [
    "recipe.scores.num_images=6",
    'recipe.attributes=["hat","dark background"]',
    "recipe.vae.steps=4",
    "recipe.vae.latent_dim=4",
    "recipe.disgraph.steps=4",
    "recipe.graph.num_bootstrap=20",
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-image's photographs in nested folders, a torn file and a tiny one among them."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "nested").mkdir()
    for n, name in enumerate(PHOTOGRAPHS):
        image = Image.fromarray(getattr(data, name)()).convert("RGB")
        image.save(folder / ("nested" if n % 2 else "") / f"{name}.{('png', 'jpg', 'webp')[n % 3]}")
    whole = (folder / "astronaut.png").read_bytes()
    (folder / "torn.png").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (8, 8)).save(folder / "tiny.png")
    return folder


def run_folder(
    photographs: Path, storage: Path, *overrides: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "jobs/pipeline.py", "jobs/recipes/folder.toml", *SMALL]
    source = f"recipe.dataset.source={photographs}"
    return subprocess.run(
        [*command, source, f"storage={storage}", *overrides],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_embedded_mllm_says_that_photographs_are_beyond_it(
    photographs: Path, tmp_path: Path
) -> None:
    done = run_folder(photographs, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unlike anything the embedded MLLM was trained on" in done.stdout
    report = (tmp_path / "folder/report/index.html").read_text()
    assert "unlike anything the embedded MLLM was trained on" in report
    manifest = json.loads((tmp_path / "folder/dataset/manifest.json").read_text())
    assert manifest["metrics"]["num_images"] == len(PHOTOGRAPHS)
    assert manifest["metrics"]["num_quarantined"] == 2


def test_an_openai_compatible_endpoint_answers_instead(
    photographs: Path, tmp_path: Path, endpoint: str
) -> None:
    done = run_folder(
        photographs,
        tmp_path,
        f"recipe.mllm.endpoint={endpoint}",
        f"recipe.mllm.model={embedded.directory()}",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    scores = json.loads((tmp_path / "folder/scores/scores.json").read_text())
    assert scores["counts"] == {"ok": 6 * 2}
    assert scores["domain"]["checked"] is False


def test_an_endpoint_that_is_down_is_named_and_nothing_is_lost(
    photographs: Path, tmp_path: Path
) -> None:
    done = run_folder(photographs, tmp_path, "recipe.mllm.endpoint=http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert "recipe.mllm.endpoint" in done.stderr
    assert (tmp_path / "folder/vae/manifest.json").is_file()
    assert not (tmp_path / "folder/scores").exists()


@pytest.mark.parametrize(
    "content", [None, b"no image"], ids=["no such folder", "no readable image"]
)
def test_a_folder_without_images_is_named(tmp_path: Path, content: bytes | None) -> None:
    folder = tmp_path / "images"
    if content:
        folder.mkdir()
        (folder / "broken.png").write_bytes(content)
    done = run_folder(folder, tmp_path / "runs")
    assert done.returncode == 1
    assert str(folder) in done.stderr
    assert "Traceback" not in done.stderr
