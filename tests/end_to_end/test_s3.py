"""The demo with its storage on SeaweedFS: killed, told again, and the same as in a folder."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from seaweed import Seaweed

from gdrl.artifacts import FileEntry, Manifest, Run, Storage, Store, open_store
from gdrl.artifacts.s3_client import client, split

ROOT = Path(__file__).parents[2]
ARTIFACTS = ["dataset", "vae", "scores", "names", "graph", "disgraph", "evaluation", "report"]
SMALL = [
    "recipe.dataset.num_images=200",
    "recipe.scores.num_images=40",
    "recipe.vae.steps=60",
    "recipe.disgraph.steps=6",
    "recipe.graph.num_bootstrap=20",
    "scale.vae.checkpoint_every_steps=6",
]
TIMED_METRICS = {"images_per_second", "seconds", "bytes"}
TIMED_FILES = {"metrics.jsonl", "scores.json", "scores.parquet", "index.html"}
"""What holds times, which no two runs share: the log, latencies, and the page that shows them."""

pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Finished:
    """A finished run, and everything that its jobs printed."""

    storage: Storage
    output: str
    when_killed: Mapping[str, float] = field(default_factory=dict)
    """The metrics of the checkpoint that a killed job left."""

    @property
    def run(self) -> Run:
        return Run(open_store(self.storage), "demo")


def demo(storage: Storage) -> list[str]:
    s3 = [f"s3.{name}={value}" for name, value in storage.s3 if value]
    settings = [f"storage={storage}", *s3, *SMALL]
    return [sys.executable, "jobs/pipeline.py", "jobs/recipes/demo.toml", *settings]


def run(arguments: list[str], **environment: str) -> str:
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def in_folder(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    storage = Storage(str(tmp_path_factory.mktemp("runs")))
    return Finished(storage, run(demo(storage)))


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[Path]:
    """Ray's sessions, logs and all; short, for sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def on_s3(seaweed: Seaweed, ray_folder: Path) -> Finished:
    """Killed with SIGKILL once the VAE has a checkpoint; the same command goes on from it."""
    storage = Storage(f"s3://{seaweed.bucket()}/some/prefix", seaweed.s3)
    store, arguments = open_store(storage), demo(storage)
    environment = os.environ | {"RAY_TMPDIR": str(ray_folder)}
    driver = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        while not (when_killed := checkpointed(store)):
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.2)
        assert secret_of(seaweed) not in command_lines()
    finally:
        driver.kill()
        output, _ = driver.communicate()
    assert Run(store, "demo").manifest("vae") is None
    output += run(arguments, RAY_TMPDIR=str(ray_folder))
    return Finished(storage, output, when_killed)


def checkpointed(store: Store) -> Mapping[str, float]:
    """The metrics of the last checkpoint that Ray Train has committed; empty before the first."""
    for found in store.objects("demo/training/train_vae"):
        if found.key.endswith("checkpoint_manager_snapshot.json"):
            latest = json.loads(store.read(found.key) or b"{}")["latest_checkpoint_result"]
            return latest["metrics"] if latest else {}
    return {}


def secret_of(_: Seaweed) -> str:
    return os.environ["AWS_SECRET_ACCESS_KEY"]


def command_lines() -> str:
    """Of every process of this machine, as anybody on it can read them."""
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return shown.stdout


def test_the_same_command_goes_on_from_the_checkpoint(on_s3: Finished) -> None:
    """No two runs share their times, so the checkpoint's row in the log is the killed job's own."""
    assert "skip  prepare_data" in on_s3.output
    lines = (on_s3.run.open("vae") / "metrics.jsonl").read_text().splitlines()
    rows = {row["step"]: row["seconds"] for row in map(json.loads, lines)}
    assert rows[on_s3.when_killed["step"]] == on_s3.when_killed["seconds"]
    assert max(rows) == 60


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_every_artifact_is_the_one_in_the_folder(
    in_folder: Finished, on_s3: Finished, artifact: str
) -> None:
    here, there = in_folder.run.finished(artifact), on_s3.run.finished(artifact)
    assert here.fingerprint == there.fingerprint
    assert untimed_metrics(here) == untimed_metrics(there)
    assert [file.path for file in here.files] == [file.path for file in there.files]
    assert untimed_files(here) == untimed_files(there)


def untimed_metrics(manifest: Manifest) -> dict[str, float | None]:
    return {k: value for k, value in manifest.metrics.items() if k not in TIMED_METRICS}


def untimed_files(manifest: Manifest) -> list[FileEntry]:
    return [file for file in manifest.files if file.path not in TIMED_FILES]


def test_again_does_nothing(on_s3: Finished) -> None:
    store = open_store(on_s3.storage)
    before = list(store.objects(""))
    assert run(demo(on_s3.storage)).count("skip") == len(ARTIFACTS)
    assert list(store.objects("")) == before


def test_the_report_opens_from_its_object(on_s3: Finished) -> None:
    bucket, key = split(on_s3.output.splitlines()[-1])
    s3 = client(on_s3.storage.s3)
    link = s3.generate_presigned_url("get_object", {"Bucket": bucket, "Key": key})
    with urllib.request.urlopen(link) as answer:
        assert answer.headers.get_content_type() == "text/html"
        assert answer.read().lstrip().lower().startswith(b"<!doctype html>")


def test_the_secret_is_nowhere(on_s3: Finished, seaweed: Seaweed, ray_folder: Path) -> None:
    secret = secret_of(seaweed)
    assert secret not in on_s3.output
    store = open_store(on_s3.storage)
    stored = [store.read(found.key) or b"" for found in store.objects("")]
    logged = [path.read_bytes() for path in ray_folder.rglob("*") if path.is_file()]
    assert len(stored) > 50
    assert len(logged) > 50
    assert not any(secret.encode() in content for content in stored + logged)
