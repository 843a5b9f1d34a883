import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from seaweed import Seaweed

import fake_stages.build_graph
import fake_stages.score_images
import fake_stages.train_vae
from gdrl.artifacts import Artifact, Inputs, LocalStore, Metrics, Run, Storage, open_store
from gdrl.config import RunConfig
from gdrl.errors import (
    ArtifactCorrupt,
    ArtifactDrift,
    ArtifactMissing,
    EndpointError,
    StageFailed,
)
from gdrl.execution import execute

Configure = Callable[..., RunConfig]
RunFakes = Callable[..., None]


def test_a_run_makes_every_artifact(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    run_fakes(configure())
    run = Run(store, "demo")
    assert (run.open("report") / "index.html").read_text() == "a model: 0.5"
    manifest = run.finished("vae")
    assert manifest.stage == "train_vae"
    assert manifest.metrics == {"loss": 0.5, "resumed": 0, "diverged": None}
    assert manifest.inputs == {"dataset": run.finished("dataset").fingerprint}
    assert manifest.recipe["recipe.vae"]["beta"] == 4.0
    assert {"gdrl", "python", "torch", "ray", "deepspeed", "transformers"} == set(manifest.versions)


def test_a_second_run_does_nothing(
    configure: Configure,
    run_fakes: RunFakes,
    store: LocalStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_fakes(configure())
    before = {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()}
    capsys.readouterr()
    run_fakes(configure())
    assert capsys.readouterr().out.count("skip") == 5
    assert {p: p.stat().st_mtime_ns for p in store.root.rglob("*") if p.is_file()} == before


def test_stages_whose_needs_are_met_run_at_the_same_time(
    configure: Configure, run_fakes: RunFakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=20)
    for module in (fake_stages.train_vae, fake_stages.score_images):
        monkeypatch.setattr(module, "run", meets(together, module.run))
    run_fakes(configure())
    assert not together.broken


def test_a_stage_does_not_wait_for_what_it_does_not_need(
    configure: Configure, run_fakes: RunFakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=20)
    for module in (fake_stages.train_vae, fake_stages.build_graph):
        monkeypatch.setattr(module, "run", meets(together, module.run))
    run_fakes(configure())
    assert not together.broken


def meets(barrier: threading.Barrier, run: Callable[..., Metrics]) -> Callable[..., Metrics]:
    def meet_and_run(config: RunConfig, inputs: Inputs, out: Artifact) -> Metrics:
        barrier.wait()
        return run(config, inputs, out)

    return meet_and_run


def test_a_failing_stage_is_named_and_the_others_are_finished(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    with pytest.raises(StageFailed, match="score_images failed: nobody answers at") as caught:
        run_fakes(configure(scores={"seed": 13}))
    assert isinstance(caught.value.__cause__, EndpointError)
    assert "the same command goes on" in str(caught.value)
    assert store.names("demo") == ["attempts", "dataset", "vae"]
    log = (store.root / "demo/attempts/0001/log.txt").read_text()
    assert "FAILED  score_images: nobody answers" in log
    run_fakes(configure())
    assert store.names("demo/attempts") == ["0001", "0002"]
    assert Run(store, "demo").finished("report").attempt == "0002"


def test_a_defect_keeps_its_kind(configure: Configure, run_fakes: RunFakes) -> None:
    with pytest.raises(StageFailed, match="score_images failed: KeyError: 'a defect'") as caught:
        run_fakes(configure(scores={"seed": 14}))
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_defect_is_the_cause_whichever_failed_first(
    configure: Configure, run_fakes: RunFakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_late(*_: object) -> Metrics:
        time.sleep(0.5)
        raise KeyError("a defect")

    monkeypatch.setattr(fake_stages.train_vae, "run", fail_late)
    with pytest.raises(StageFailed, match=r"(?s)score_images failed.*train_vae failed") as caught:
        run_fakes(configure(scores={"seed": 13}))
    assert isinstance(caught.value.__cause__, KeyError)


def test_drift_is_refused_and_nothing_is_touched(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    run_fakes(configure())
    with pytest.raises(ArtifactDrift, match=r"recipe\.vae\.beta: 4\.0 -> 8\.0"):
        run_fakes(configure(vae={"beta": 8.0}))
    assert Run(store, "demo").finished("vae").recipe["recipe.vae"]["beta"] == 4.0
    assert store.names("demo/attempts") == ["0001"]


def test_overwrite_redoes_what_drifted_and_what_depends_on_it(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    run_fakes(configure())
    run_fakes(configure(vae={"beta": 8.0}), overwrite=True)
    made_by = {a: Run(store, "demo").finished(a).attempt for a in store.names("demo")[1:]}
    assert made_by == {
        "dataset": "0001",
        "graph": "0001",
        "report": "0002",
        "scores": "0001",
        "vae": "0002",
    }


def test_overwriting_one_artifact_leaves_its_inputs_alone(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    run_fakes(configure())
    with pytest.raises(ArtifactDrift, match=r"recipe\.dataset\.num_images: 3 -> 4"):
        run_fakes(configure(dataset={"num_images": 4}), artifact="vae", overwrite=True)
    assert store.names("demo") == ["attempts", "dataset", "graph", "report", "scores", "vae"]
    run_fakes(configure(vae={"beta": 8.0}), artifact="vae", overwrite=True)
    assert Run(store, "demo").finished("vae").attempt == "0002"
    assert Run(store, "demo").finished("dataset").attempt == "0001"
    assert Run(store, "demo").manifest("report") is None


def test_one_artifact_is_made_alone(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    with pytest.raises(ArtifactMissing, match=r"jobs/prepare_data\.py"):
        run_fakes(configure(), artifact="vae")
    run_fakes(configure(), artifact="dataset")
    run_fakes(configure(), artifact="vae")
    assert store.names("demo") == ["attempts", "dataset", "vae"]


def test_a_corrupt_input_stops_the_stage_that_reads_it(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    run_fakes(configure(), artifact="dataset")
    shard = store.root / "demo/dataset/shards/images.txt"
    shard.write_bytes(b"?" + shard.read_bytes()[1:])
    with pytest.raises(StageFailed, match=r"shards/images\.txt differs") as caught:
        run_fakes(configure(), artifact="vae")
    assert isinstance(caught.value.__cause__, ArtifactCorrupt)


def test_tensorboard_files_lie_beside_the_log(
    configure: Configure, run_fakes: RunFakes, store: LocalStore
) -> None:
    config = configure()
    tracking = config.tracking.model_copy(update={"tensorboard": True})
    run_fakes(config.model_copy(update={"tracking": tracking}))
    folder = store.root / "demo/attempts/0001/tensorboard"
    assert [path.name for path in folder.iterdir()] == ["vae"]
    assert list((folder / "vae").glob("events.*"))


def test_a_run_in_object_storage_has_its_log_and_event_files_there(
    configure: Configure, seaweed: Seaweed
) -> None:
    store = open_store(Storage(f"s3://{seaweed.bucket()}/runs", seaweed.s3))
    config = configure()
    tracking = config.tracking.model_copy(update={"tensorboard": True})
    config = config.model_copy(update={"tracking": tracking})
    execute(config, store, stages=fake_stages.STAGES, session=lambda _: nullcontext())
    assert (Run(store, "demo").open("report") / "index.html").read_text() == "a model: 0.5"
    log = store.read("demo/attempts/0001/log.txt") or b""
    assert b"done  report" in log
    (events,) = store.names("demo/attempts/0001/tensorboard/vae")
    assert events.startswith("events.")


@pytest.fixture
def hanging(tmp_path: Path, repository: Path) -> Iterator[subprocess.Popen[str]]:
    """A job of the fake pipeline, in the middle of train_vae."""
    recipe = tmp_path / "hangs.toml"
    recipe.write_text("[recipe]\nvae.seed = 99\ndataset.num_images = 3\n")
    command = [
        sys.executable,
        "-u",
        "-m",
        "fake_stages",
        str(recipe),
        f"storage={tmp_path / 'runs'}",
    ]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{repository / 'tests'}:{repository}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        awaited = {"in the middle", "done  build_graph"}
        while awaited:
            line = process.stdout.readline()
            assert line, "the job ended early"
            awaited = {text for text in awaited if text not in line}
        yield process
        process.kill()


def resume(process: subprocess.Popen[str], tmp_path: Path, repository: Path) -> str:
    return subprocess.run(
        process.args,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{repository / 'tests'}:{repository}"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_killed_driver_goes_on_from_what_was_finished(
    hanging: subprocess.Popen[str], tmp_path: Path, repository: Path
) -> None:
    hanging.kill()
    assert hanging.wait() == -signal.SIGKILL
    run = Run(LocalStore(tmp_path / "runs"), "demo")
    assert run.manifest("vae") is None
    out = resume(hanging, tmp_path, repository)
    assert [line.split()[0] for line in out.splitlines() if "train_vae" in line] == [
        "start",
        "done",
    ]
    assert "skip  prepare_data" in out
    assert "skip  score_images" in out
    assert run.finished("vae").metrics["resumed"] == 1
    assert (run.open("vae") / "model.txt").read_text() == "a model"
    assert list((run.store.root / "demo/.work").iterdir()) == []  # type: ignore[attr-defined]


def test_ctrl_c_stops_at_once_and_says_how_to_go_on(
    hanging: subprocess.Popen[str], tmp_path: Path, repository: Path
) -> None:
    hanging.send_signal(signal.SIGINT)
    _, stderr = hanging.communicate(timeout=60)
    assert hanging.returncode == 130
    assert "the same command goes on from what is finished" in stderr
    assert "Traceback" not in stderr
    out = resume(hanging, tmp_path, repository)
    assert "skip  build_graph" in out
    manifest = json.loads((tmp_path / "runs/demo/vae/manifest.json").read_text())
    assert manifest["metrics"]["resumed"] == 1
