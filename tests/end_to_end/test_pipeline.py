"""The commands of the README, small: real Ray, real DeepSpeed, the real embedded MLLM."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gdrl.models.factor_model import FactorModel

ROOT = Path(__file__).parents[2]
ARTIFACTS = ["dataset", "vae", "scores", "names", "graph", "disgraph", "evaluation", "report"]
SMALL = [
    "recipe.dataset.num_images=400",
    "recipe.scores.num_images=80",
    "recipe.vae.steps=12",
    "recipe.disgraph.steps=12",
    "recipe.graph.num_bootstrap=50",
    "scale.vae.checkpoint_every_steps=6",
    "scale.disgraph.checkpoint_every_steps=6",
]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "jobs/pipeline.py", *arguments]


def run(
    arguments: list[str], check: bool = True, **environment: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def demo(storage: Path, *overrides: str) -> list[str]:
    return command("jobs/recipes/demo.toml", f"storage={storage}", *SMALL, *overrides)


def gdrl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run([sys.executable, "-m", "gdrl", *arguments])


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished small run named ``demo``."""
    storage = tmp_path_factory.mktemp("runs")
    done = run(demo(storage))
    report = Path(done.stdout.strip().splitlines()[-1])
    assert report == storage / "demo/report/index.html"
    assert report.is_file()
    return storage


def test_every_artifact_has_a_manifest(storage: Path) -> None:
    for artifact in ARTIFACTS:
        assert (storage / "demo" / artifact / "manifest.json").is_file(), artifact


def test_stages_that_do_not_need_each_other_ran_at_the_same_time(storage: Path) -> None:
    def span(artifact: str) -> tuple[float, float]:
        manifest = json.loads((storage / "demo" / artifact / "manifest.json").read_text())
        return manifest["started"], manifest["started"] + manifest["seconds"]

    vae, scores = span("vae"), span("scores")
    assert max(vae[0], scores[0]) < min(vae[1], scores[1])


@pytest.fixture(scope="module")
def figures(storage: Path) -> dict[str, float | None]:
    """What ``gdrl show demo/evaluation --json`` prints."""
    shown = gdrl("show", "demo/evaluation", "--json", "--storage", str(storage))
    return json.loads(shown.stdout)


def test_show_prints_the_figures(figures: dict[str, float | None]) -> None:
    names = "edge_auroc", "sign_accuracy", "drawn_weight_error", "refined_weight_error"
    for name in (*names, "matched_attributes", "mse_ratio", "mig"):
        assert figures[name] is not None, name


def test_the_graph_is_right_even_in_a_small_run(figures: dict[str, float | None]) -> None:
    """80 images are few; the embedded MLLM reads them well enough to rank the true edges first."""
    assert (figures["edge_auroc"] or 0) > 0.85


def test_again_does_nothing(storage: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (storage / "demo").rglob("*") if p.is_file()}
    done = run(demo(storage))
    assert done.stdout.count("skip") == len(ARTIFACTS)
    assert before == {p: p.stat().st_mtime_ns for p in (storage / "demo").rglob("*") if p.is_file()}


def test_drift_is_refused_field_by_field(storage: Path) -> None:
    done = run(demo(storage, "recipe.graph.confidence=0.5"), check=False)
    assert done.returncode == 1
    assert "recipe.graph.confidence" in done.stderr
    assert "0.9 -> 0.5" in done.stderr


def test_a_job_redoes_one_stage(storage: Path, tmp_path: Path) -> None:
    copy = tmp_path / "runs"
    shutil.copytree(storage, copy)
    shutil.rmtree(copy / "demo/graph")
    arguments = demo(copy)
    arguments[1] = "jobs/build_graph.py"
    run(arguments)
    old, new = (json.loads((s / "demo/graph/graph.json").read_text()) for s in (storage, copy))
    assert old == new


def test_contrastive_components_take_the_place_of_latents(storage: Path) -> None:
    """The second extractor on the first one's images and answers, to a report."""
    borrowed = 'inputs={dataset="demo",scores="demo"}'
    pairs = ["recipe.encoders.steps=30", "recipe.encoders.batch_size=64"]
    said = ["name=ica", "recipe.extractor=contrastive_ica", "recipe.unmixing.steps=12", *pairs]
    done = run(demo(storage, borrowed, *said))
    assert "done  unmix" in done.stdout
    assert "train_vae" not in done.stdout
    assert (storage / "ica/report/index.html").is_file()
    model = FactorModel.load(storage / "ica/disgraph")
    assert len(model.names) == 12
    listed = gdrl("status", "ica", "--storage", str(storage)).stdout
    assert "components  finished" in listed
    told = gdrl("diff", "demo", "ica", "--storage", str(storage)).stdout
    assert "recipe.extractor: 'beta_vae' -> 'contrastive_ica'" in told


def test_goes_on_after_the_driver_was_killed(tmp_path: Path) -> None:
    """kill -9 while the trainer and the MLLM are at work: what was finished is not done again."""
    runs = tmp_path / "runs"
    long = demo(runs, "recipe.vae.steps=400")
    driver = start(long)
    _wait_for(lambda: any((runs / "demo/training/train_vae").rglob("training.safetensors")), driver)
    driver.kill()
    driver.wait()
    assert not (runs / "demo/vae").exists()
    done = run(long)
    assert "skip  prepare_data" in done.stdout
    assert "done  train_vae" in done.stdout
    assert (runs / "demo/report/manifest.json").is_file()


def test_a_machine_where_ray_does_not_start_gets_a_remedy(tmp_path: Path) -> None:
    done = run(demo(tmp_path / "runs"), check=False, RAY_TMPDIR="/dev/null/ray")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "trying once more" in done.stderr
    assert "error: Ray did not start on this machine ([Errno 20] Not a directory" in done.stderr
    assert "run the same command again" in done.stderr


@pytest.mark.parametrize("seconds", [0, 5])
def test_ctrl_c_stops_and_says_what_to_do(tmp_path: Path, seconds: float) -> None:
    """While stages start on Ray, where an orderly end is a matter of luck, and later."""
    runs = tmp_path / "runs"
    driver = start(demo(runs, "recipe.vae.steps=4000"))
    _wait_for((runs / "demo/dataset/manifest.json").exists, driver)
    time.sleep(seconds)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 130, output
    assert "the same command goes on" in output


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """A driver in a process group of its own, as a terminal would give it."""
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _wait_for(done: Callable[[], bool], driver: subprocess.Popen[str]) -> None:
    while not done():
        assert driver.poll() is None, driver.stdout.read() if driver.stdout else ""
        time.sleep(0.2)
