import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gdrl.config import TrainScale, VaeRecipe
from gdrl.distributed.train import digest_of, fit
from gdrl.errors import ConfigError, TrainingFailed

FUNCTIONS = "tests.distributed.train_functions"
STEPS = 5
WEIGHT = 8.0 * 0.5**STEPS


def descend(inputs: dict[str, Path], tmp_path: Path, steps: int = STEPS, **scale: int):
    return fit(
        f"{FUNCTIONS}:descend",
        name="descend",
        recipe=VaeRecipe(steps=steps),
        inputs=inputs,
        scale=TrainScale(**scale),
        storage=tmp_path / "training",
        out=tmp_path / "out",
    )


def steps_run(inputs: dict[str, Path]) -> list[int]:
    return [int(step) for step in (inputs["dataset"] / "steps").read_text().split()]


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("num_workers", "trouble"), [(1, "exit"), (2, "raise")], ids=["worker dies", "worker raises"]
)
def test_a_failed_worker_costs_the_steps_since_the_last_checkpoint(
    inputs, tmp_path, num_workers, trouble
):
    (inputs["dataset"] / "trouble").write_text(trouble)
    metrics = descend(inputs, tmp_path, num_workers=num_workers)
    assert metrics == {"loss": pytest.approx(WEIGHT**2)}
    assert steps_run(inputs) == [1, 2, 3, 3, 4, 5]
    assert json.loads((tmp_path / "out/weight.json").read_text()) == pytest.approx(WEIGHT)


@pytest.mark.usefixtures("cluster")
def test_the_same_run_again_goes_on_and_a_changed_recipe_starts_anew(inputs, tmp_path, capfd):
    descend(inputs, tmp_path)
    descend(inputs, tmp_path)
    assert steps_run(inputs) == [1, 2, 3, 4, 5]
    descend(inputs, tmp_path, steps=2)
    assert steps_run(inputs) == [1, 2, 3, 4, 5, 1, 2]
    kept = [path for path in tmp_path.glob("training/*/checkpoint_*") if path.is_dir()]
    assert len(kept) == 4, "two checkpoints of each of two runs"
    out, err = capfd.readouterr()
    assert "descend: " in out, "progress is shown"
    assert not err, "and Ray keeps its own lines to its files"


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("fail", f"{VaeRecipe().batch_size} pixels too small"),
        ("diverge", "loss is not finite at step 1"),
    ],
)
def test_a_run_that_fails_for_good_says_what_the_worker_said(inputs, tmp_path, function, message):
    with pytest.raises(TrainingFailed, match=message):
        fit(
            f"{FUNCTIONS}:{function}",
            name=function,
            recipe=VaeRecipe(),
            inputs=inputs,
            scale=TrainScale(max_failures=0),
            storage=tmp_path,
            out=tmp_path,
        )


@pytest.mark.usefixtures("cluster")
def test_workers_that_can_never_fit_are_refused_at_once(inputs, tmp_path):
    with pytest.raises(ConfigError, match=r"needs 40 CPU of 4 .*num_workers"):
        descend(inputs, tmp_path, num_workers=40)


DRIVER = f"""
import sys
from pathlib import Path
from gdrl.config import ClusterScale, TrainScale, VaeRecipe
from gdrl.distributed.session import connect
from gdrl.distributed.train import fit

root = Path(sys.argv[1])
connect(ClusterScale(num_cpus=4))
print(fit("{FUNCTIONS}:descend", name="descend", recipe=VaeRecipe(steps={STEPS}),
    inputs={{"dataset": root / "dataset"}}, scale=TrainScale(), storage=root / "training",
    out=root / "out"))
"""


def test_a_killed_driver_costs_the_steps_since_the_last_checkpoint(inputs, tmp_path):
    trouble, home = inputs["dataset"] / "trouble", tmp_path / "home"
    trouble.write_text("hang")
    home.mkdir()
    command = [sys.executable, "-c", DRIVER, str(tmp_path)]
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
    assert not (tmp_path / "out").exists()
    subprocess.run(command, env=environment, check=True)
    assert steps_run(inputs) == [1, 2, 3, 3, 4, 5]
    assert not list(home.iterdir()), "the cluster's token lives in the environment only"


def test_the_digest_follows_all_that_decides_the_weights(inputs):
    digest = digest_of("a:f", VaeRecipe(), inputs)
    assert digest == digest_of("a:f", VaeRecipe(), dict(inputs))
    assert digest != digest_of("a:g", VaeRecipe(), inputs)
    assert digest != digest_of("a:f", VaeRecipe(seed=1), inputs)
    (inputs["dataset"] / "manifest.json").write_text('{"files": []}')
    assert digest != digest_of("a:f", VaeRecipe(), inputs)
