import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_artifact import finish_dataset

from gdrl.artifacts import Source, Storage
from gdrl.config import TrainScale, VaeRecipe
from gdrl.distributed.train import digest_of, fit
from gdrl.errors import ConfigError, TrainingFailed

FUNCTIONS = "tests.distributed.train_functions"
STEPS = 5
WEIGHT = 8.0 * 0.5**STEPS


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Where the training functions write down what they do."""
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def finish(storage: Storage, content: str) -> Source:
    """A dataset of one file."""
    run = finish_dataset(storage, lambda folder: (folder / "content").write_text(content))
    return run.source("dataset")


@pytest.fixture
def dataset(tmp_path: Path, notes: Path) -> Source:
    return finish(Storage(str(tmp_path / "runs")), str(notes))


def descend(dataset: Source, steps: int = STEPS, **scale: int):
    root = Path(dataset.storage.uri).parent
    return fit(
        f"{FUNCTIONS}:descend",
        name="descend",
        recipe=VaeRecipe(steps=steps),
        inputs={"dataset": dataset},
        scale=TrainScale(**scale),
        storage=Storage(str(root / "training")),
        out=root / "out",
    )


def steps_run(notes: Path) -> list[int]:
    return [int(step) for step in (notes / "steps").read_text().split()]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("num_workers", "trouble"), [(1, "exit"), (2, "raise")], ids=["worker dies", "worker raises"]
)
def test_a_failed_worker_costs_the_steps_since_the_last_checkpoint(
    dataset, notes, tmp_path, num_workers, trouble
):
    (notes / "trouble").write_text(trouble)
    metrics = descend(dataset, num_workers=num_workers)
    assert metrics == {"loss": pytest.approx(WEIGHT**2)}
    assert steps_run(notes) == [1, 2, 3, 3, 4, 5]
    assert json.loads((tmp_path / "out/weight.json").read_text()) == pytest.approx(WEIGHT)


@pytest.mark.usefixtures("cluster")
def test_the_same_run_again_goes_on_and_a_changed_recipe_starts_anew(
    dataset, notes, tmp_path, capfd
):
    descend(dataset)
    descend(dataset)
    assert steps_run(notes) == [1, 2, 3, 4, 5]
    descend(dataset, steps=2)
    assert steps_run(notes) == [1, 2, 3, 4, 5, 1, 2]
    kept = [path for path in tmp_path.glob("training/*/checkpoint_*") if path.is_dir()]
    assert len(kept) == 4, "two checkpoints of each of two runs"
    out, err = capfd.readouterr()
    assert "descend: " in out, "progress is shown"
    assert not err, "and Ray keeps its own lines to its files"


@pytest.mark.usefixtures("cluster")
def test_workers_that_say_nothing_for_long_are_worth_a_line(
    dataset: Source, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gdrl.distributed.train.SILENT_SECONDS", 1.0)
    descend(dataset)
    told = "descend is silent for 1 s: `ray status` shows who waits"
    assert told in capfd.readouterr().out, "while they start, which takes some seconds"


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fail", f"{VaeRecipe().batch_size} pixels too small"),
        ("diverge", "loss is not finite at step 1"),
    ],
)
def test_a_run_that_fails_for_good_says_what_the_worker_said(dataset, tmp_path, function, message):
    with pytest.raises(TrainingFailed, match=message):
        fit(
            f"{FUNCTIONS}:{function}",
            name=function,
            recipe=VaeRecipe(),
            inputs={"dataset": dataset},
            scale=TrainScale(max_failures=0),
            storage=Storage(str(tmp_path / "training")),
            out=tmp_path / "out",
        )


@pytest.mark.usefixtures("cluster")
def test_a_run_that_diverged_is_not_tried_again(dataset, notes, tmp_path):
    with pytest.raises(TrainingFailed, match=r"diverged at step 1: .*checkpoint_") as caught:
        fit(
            f"{FUNCTIONS}:overflow",
            name="overflow",
            recipe=VaeRecipe(),
            inputs={"dataset": dataset},
            scale=TrainScale(num_workers=2),
            storage=Storage(str(tmp_path / "training")),
            out=tmp_path / "out",
        )
    assert Path(str(caught.value).rpartition(": ")[2]).is_dir()
    assert steps_run(notes) == [1]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("cluster")
def test_workers_that_can_never_fit_are_refused_at_once(dataset):
    with pytest.raises(ConfigError, match=r"needs 40 CPU of 4 .*num_workers"):
        descend(dataset, num_workers=40)


DRIVER = f"""
import sys
from pathlib import Path
from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import ClusterScale, S3Settings, TrainScale, VaeRecipe
from gdrl.distributed.session import connect
from gdrl.distributed.train import fit

storage = Storage(sys.argv[1], S3Settings.model_validate_json(sys.argv[2]))
source = Run(open_store(storage), "demo").source("dataset")
connect(ClusterScale(num_cpus=4))
print(fit("{FUNCTIONS}:descend", name="descend", recipe=VaeRecipe(steps={STEPS}),
    inputs={{"dataset": source}}, scale=TrainScale(), storage=storage / "demo/training/descend",
    out=Path(sys.argv[3])))
"""


def kill_and_resume(dataset: Source, notes: Path, home: Path) -> Path:
    """SIGKILL a driver whose worker hangs at step 3, run it again; the folder that it made."""
    trouble, out = notes / "trouble", home.with_name("out")
    trouble.write_text("hang")
    storage = dataset.storage
    arguments = [storage.uri, storage.s3.model_dump_json(), str(out)]
    command = [sys.executable, "-c", DRIVER, *arguments]
    unset = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS")
    environment = {key: os.environ[key] for key in os.environ if key not in unset}
    environment["HOME"] = str(home)
    driver = subprocess.Popen(command, env=environment)
    try:
        while trouble.exists() and driver.poll() is None:
            time.sleep(0.1)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    assert not out.exists()
    subprocess.run(command, env=environment, check=True)
    return out


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_killed_driver_costs_the_steps_since_the_last_checkpoint(tmp_path, notes, request, kind):
    storage = Storage(str(tmp_path / "runs"))
    if kind == "s3":
        seaweed = request.getfixturevalue("seaweed")
        storage = Storage(f"s3://{seaweed.bucket()}/runs", seaweed.s3)
    home = tmp_path / "home"
    home.mkdir()
    out = kill_and_resume(finish(storage, str(notes)), notes, home)
    assert steps_run(notes) == [1, 2, 3, 3, 4, 5]
    assert json.loads((out / "weight.json").read_text()) == pytest.approx(WEIGHT)
    assert not list(home.iterdir()), "the cluster's token lives in the environment only"


def test_the_digest_follows_all_that_decides_the_weights(tmp_path):
    one, same, other = (
        finish(Storage(str(tmp_path / name)), name[0]) for name in ("a1", "a2", "b")
    )
    digest = digest_of("a:f", VaeRecipe(), {"dataset": one})
    assert digest == digest_of("a:f", VaeRecipe(), {"dataset": same})
    assert digest != digest_of("a:g", VaeRecipe(), {"dataset": one})
    assert digest != digest_of("a:f", VaeRecipe(seed=1), {"dataset": one})
    assert digest != digest_of("a:f", VaeRecipe(), {"dataset": other})
