"""Faults of workers, drivers, nodes and disks, injected for real into the β-VAE's training.

Afterwards nothing is lost but the steps since the last checkpoint, the weights are those of a run
without the fault, and nothing is left over: no process, no half checkpoint, no artifact.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file
from small_artifact import finish_dataset

from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import TrainScale
from gdrl.data.pictures import encode_png
from gdrl.data.table import DatasetDescription, Row, write_description, write_images
from gdrl.errors import TrainingFailed
from gdrl.training import vae
from gdrl.training.checkpoint import FILE, read_state
from gdrl.training.job import PUBLISHED, TrainingJob
from tests.faults.training_driver import RECIPE, train
from tests.training.weights import apart

Drive = Callable[..., subprocess.Popen[bytes]]

ROOT = Path(__file__).parents[2]
NUM_IMAGES = 24
EVERY = 2


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where the training function finds its trouble and writes its steps down."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


@pytest.fixture
def storage(tmp_path: Path, notes: Path) -> Storage:
    """Holds the run ``demo`` with a small data set."""
    storage = Storage(str(tmp_path / "runs"))
    finish_dataset(storage, lambda folder: write_dataset(folder, notes))
    return storage


def write_dataset(folder: Path, notes: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (NUM_IMAGES, 64, 64, 3), dtype=np.uint8)
    write_images(folder, [Row(png=encode_png(image), split="train") for image in pixels])
    description = DatasetDescription(
        source="noise",
        kind="folder",
        style=None,
        num_images=NUM_IMAGES,
        num_quarantined=0,
        image_size=64,
        attributes=("hat",),
        truth=None,
        attribution="",
        seed=0,
    )
    write_description(folder, description)
    (folder / "notes").write_text(str(notes))


def steps_run(notes: Path) -> list[int]:
    """The step each step began from, in the order in which rank 0 ran them."""
    return [int(step) for step in (notes / "steps").read_text().split()]


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "model.safetensors")


def kept(storage: Storage) -> list[Path]:
    """Checkpoints that a resumed run may read, the newest last."""
    found = Path(storage.uri).glob("demo/training/vae/vae-*/checkpoint_*")
    return sorted(path for path in found if path.is_dir())


def left_over(storage: Storage) -> list[Path]:
    """Folders of this run's checkpoints that are still on their way."""
    digests = {path.read_text() for path in Path(storage.uri).rglob("digest.json")}
    on_their_way = Path(tempfile.gettempdir()).glob("gdrl-checkpoint-*/digest.json")
    return [path for path in on_their_way if path.read_text() in digests]


def assert_same_weights(one: Path, other: Path) -> None:
    pairs = weights(one), weights(other)
    assert all(torch.equal(pairs[1][name], value) for name, value in pairs[0].items())


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("trouble", ["exception", "killed"])
def test_a_worker_that_fails_costs_the_steps_since_the_last_checkpoint(
    storage: Storage, notes: Path, tmp_path: Path, trouble: str
) -> None:
    scale = TrainScale(num_workers=2, zero_stage=2, checkpoint_every_steps=EVERY)
    (notes / "trouble").write_text(trouble)
    train(storage, tmp_path / "out", scale)
    assert steps_run(notes) == [0, 1, 2, 3, 2, 3, 4, 5]
    assert len(kept(storage)) == 2
    assert [read_state(folder).step for folder in kept(storage)] == [4, 6]
    rows = (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 4, 6], "no step is counted twice"
    assert not left_over(storage)
    straight = Storage(str(tmp_path / "straight"))
    finish_dataset(straight, lambda folder: write_dataset(folder, notes))
    train(straight, tmp_path / "never", scale)
    assert_same_weights(tmp_path / "out", tmp_path / "never")


@pytest.mark.usefixtures("cluster")
def test_a_full_disk_costs_no_checkpoint_that_was_there(
    storage: Storage, notes: Path, tmp_path: Path
) -> None:
    scale = TrainScale(checkpoint_every_steps=EVERY, max_failures=0)
    (notes / "trouble").write_text("full disk")
    with pytest.raises(TrainingFailed, match=r"no checkpoint can be written .* make room"):
        train(storage, tmp_path / "out", scale)
    assert not (tmp_path / "out").exists()
    (checkpoint,) = kept(storage)
    assert read_state(checkpoint).step == EVERY
    (notes / "trouble").unlink()
    train(storage, tmp_path / "out", scale)
    assert steps_run(notes) == [0, 1, 2, 3, 2, 3, 4, 5]


@pytest.mark.usefixtures("cluster")
def test_two_workers_that_diverge_stop_at_once_and_keep_what_was_good(
    storage: Storage, notes: Path, tmp_path: Path
) -> None:
    recipe = RECIPE.model_copy(update={"learning_rate": 1e6, "steps": 50})
    scale = TrainScale(num_workers=2, checkpoint_every_steps=1)
    with pytest.raises(TrainingFailed, match=r"diverged at step \d+: the loss is not finite") as it:
        train(storage, tmp_path / "out", scale, recipe)
    assert "on images" in str(it.value)
    assert "last good checkpoint: step" in str(it.value)
    ran = steps_run(notes)
    assert ran == sorted(set(ran)), "not tried again"
    assert read_state(kept(storage)[-1]).step == ran[-1]
    state = load_file(kept(storage)[-1] / FILE)
    assert all(value.isfinite().all() for value in state.values())
    assert not (tmp_path / "out").exists()


@pytest.fixture
def drive(storage: Storage, tmp_path: Path) -> Iterator[Drive]:
    """Start a driver that trains to the folder ``out``; what still runs at the end is killed."""
    command = [sys.executable, "-m", "tests.faults.training_driver", storage.uri]
    started: list[subprocess.Popen[bytes]] = []

    def start(
        scale: TrainScale, *address: str, steps: int = RECIPE.steps
    ) -> subprocess.Popen[bytes]:
        whole = [*command, str(tmp_path / "out"), scale.model_dump_json(), str(steps), *address]
        started.append(subprocess.Popen(whole, cwd=ROOT, start_new_session=True))
        return started[-1]

    yield start
    for driver in started:
        driver.kill()
        driver.wait()


def test_a_killed_driver_leaves_no_process_and_is_gone_on_from(
    drive: Drive, storage: Storage, notes: Path, tmp_path: Path
) -> None:
    (notes / "trouble").write_text("hang")
    scale = TrainScale(checkpoint_every_steps=EVERY)
    driver = drive(scale)
    while (notes / "trouble").exists():
        assert driver.poll() is None
        time.sleep(0.1)
    started = psutil.Process(driver.pid).children(recursive=True)
    assert started
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    _, alive = psutil.wait_procs(started, timeout=120)  # the last of Ray's agents take 66 s
    assert not alive
    assert not (tmp_path / "out").exists()
    assert [read_state(folder).step for folder in kept(storage)] == [EVERY]
    assert drive(scale).wait() == 0
    assert steps_run(notes) == [0, 1, 2, 3, 2, 3, 4, 5]
    assert weights(tmp_path / "out")


PINNED = TrainScale(
    num_workers=2,
    checkpoint_every_steps=EVERY,
    max_failures=4,
    resources_per_worker={"trainer_slot": 1.0},
)


@dataclass
class Trainers:
    """A cluster of a head and two nodes that hold a trainer each."""

    cluster: Any
    nodes: list[Any] = field(default_factory=list)

    def add(self) -> None:
        self.nodes.append(self.cluster.add_node(num_cpus=1, resources={"trainer_slot": 1}))

    def lose(self) -> None:
        """As a machine that is switched off."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def warn(self) -> None:
        """As a cloud that takes the last machine back in 20 seconds."""
        told = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
        node = ["--node-id", self.nodes[-1].node_id, "--deadline-remaining-seconds", "20"]
        command = [Path(sys.executable).parent / "ray", "drain-node", *node, *told]
        subprocess.run([*command, "--address", self.cluster.address], check=True)


@pytest.fixture
def trainers() -> Iterator[Trainers]:
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "include_dashboard": False}
    trainers = Trainers(Cluster(initialize_head=True, head_node_args=head))
    trainers.add()
    trainers.add()
    trainers.cluster.wait_for_nodes()
    yield trainers
    trainers.cluster.shutdown()


@pytest.fixture
def drive_there(trainers: Trainers, drive: Drive) -> Drive:
    """As ``drive``, whose driver is killed before the cluster goes, which would wait for it."""
    return lambda scale, **steps: drive(scale, trainers.cluster.address, **steps)


def wait_until(driver: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    while not happened():
        assert driver.poll() is None
        time.sleep(0.1)


def test_a_lost_node_is_replaced_and_costs_the_steps_since_the_last_checkpoint(
    trainers: Trainers, drive_there: Drive, notes: Path, tmp_path: Path
) -> None:
    (notes / "trouble").write_text("hang")
    driver = drive_there(PINNED)
    wait_until(driver, lambda: not (notes / "trouble").exists())
    trainers.lose()
    trainers.add()
    assert driver.wait() == 0
    assert steps_run(notes) == [0, 1, 2, 3, 2, 3, 4, 5]
    assert weights(tmp_path / "out")


def test_fewer_workers_go_on_where_a_lost_node_is_not_replaced(
    trainers: Trainers,
    drive_there: Drive,
    storage: Storage,
    notes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")  # until it asks for fewer
    (notes / "trouble").write_text("hang")
    driver = drive_there(PINNED.model_copy(update={"min_workers": 1}))
    wait_until(driver, lambda: not (notes / "trouble").exists())
    trainers.lose()
    assert driver.wait() == 0
    assert steps_run(notes) == [0, 1, 2, 3, 2, 3, 4, 5]
    assert apart(weights(tmp_path / "out"), weights(trained_alone(storage, tmp_path))) < 1e-5


def trained_alone(storage: Storage, tmp_path: Path) -> Path:
    """What one worker without Ray publishes, to which nothing happens."""
    out = tmp_path / "alone"

    def report(_step: int, _metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        if checkpoint is not None:
            (checkpoint / PUBLISHED).rename(out)
            shutil.rmtree(checkpoint)

    inputs = {"dataset": Run(open_store(storage), "demo").open("dataset")}
    vae.train(TrainingJob(RECIPE, TrainScale(), inputs, rank=0, world_size=1, report=report))
    return out


def test_a_machine_that_is_about_to_go_costs_the_steps_since_its_notice() -> None:
    """In a process of its own: tests before it leave a private cluster's environment in this."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "pytest", "tests/faults/drained.py", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
