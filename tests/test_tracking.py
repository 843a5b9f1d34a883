import io
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gdrl import tracking
from gdrl.errors import ConfigError
from gdrl.tracking import MetricLog, Progress, mlflow_run, say, write_tensorboard


def test_a_log_reads_back_what_was_written(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    assert list(log) == []
    log.write(1, loss=0.5)
    log.write(2, loss=0.25, kl=3.0)
    assert list(MetricLog(log.path)) == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25, "kl": 3.0},
    ]


def test_threads_do_not_tear_lines(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    threads = [
        threading.Thread(target=lambda: [log.write(step, loss=0.5) for step in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(log)) == 200


def test_tensorboard_gets_each_scalar(tmp_path: Path) -> None:
    log = MetricLog(tmp_path / "metrics.jsonl")
    log.write(1, loss=0.5)
    write_tensorboard(log, tmp_path / "board")
    (events,) = (tmp_path / "board").glob("events.*")
    assert b"loss" in events.read_bytes()


def test_without_a_terminal_a_bar_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [100.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: clock[0])
    with Progress("train_vae", total=1500) as progress:
        for step in range(1, 1501):
            clock[0] += 0.01
            progress.update(step, metrics={"loss": 1 / step})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  train_vae: 1/1,500 steps  loss 1"
    assert lines[1] == "  train_vae: 501/1,500 steps  loss 0.001996  10 s left"
    assert len(lines) == 3


def test_counts_are_readable_with_and_without_a_total() -> None:
    progress = Progress("score_images", unit="images")
    progress.update(1200)
    assert progress.counts == "1,200 images"
    progress.update(1300, 1500)
    assert progress.counts == "1,300/1,500 images"


def test_the_rest_takes_as_long_as_the_pace_since_the_start_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(tracking.time, "monotonic", lambda: clock[0])
    progress = Progress("train_vae", total=2_000)
    progress.update(1_000)  # where a resumed run begins
    assert "left" not in progress.counts
    clock[0] += 60
    progress.update(1_200)
    assert progress.counts == "1,200/2,000 steps  4 min left"


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """MLflow's client on a store of its own: of files, which needs no database and no server."""
    client = pytest.importorskip("mlflow").MlflowClient
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return client()


def log_and_be_interrupted() -> None:
    with mlflow_run("vae-1", {"beta": 4.0}) as run:
        run.write([(50, {"loss": 2.0}), (100, {"loss": 1.0})])
        raise KeyboardInterrupt


def test_a_resumed_training_goes_on_in_its_mlflow_run(mlflow: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        log_and_be_interrupted()
    with mlflow_run("vae-1", {"beta": 4.0}) as run:
        run.write([(150, {"loss": 0.5})])
    with mlflow_run("vae-2", {"beta": 8.0}) as run:
        run.write([(50, {"loss": 3.0})])
    experiment = mlflow.get_experiment_by_name("gdrl")
    found = {run.info.run_name: run for run in mlflow.search_runs([experiment.experiment_id])}
    assert set(found) == {"vae-1", "vae-2"}
    history = mlflow.get_metric_history(found["vae-1"].info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(50, 2), (100, 1), (150, 0.5)]
    assert found["vae-1"].data.params == {"beta": "4.0"}
    assert found["vae-1"].info.status == "FINISHED"


@pytest.mark.usefixtures("mlflow")
def test_a_store_that_mlflow_refuses_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "carrier-pigeon://roof")
    with pytest.raises(ConfigError, match="correct MLFLOW_TRACKING_URI"), mlflow_run("vae-1", {}):
        pass


def test_without_mlflow_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match="pip install mlflow"), mlflow_run("vae-1", {}):
        pass


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 100 columns is told."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(tracking._display, "_console", console)
    return screen


def test_in_a_terminal_bars_of_several_threads_share_one_display(terminal: io.StringIO) -> None:
    both_live = threading.Barrier(2, timeout=20)

    def work(name: str) -> None:
        with Progress(name, total=10) as progress:
            progress.update(3)
            tracking._display._rich.refresh()  # by itself it redraws ten times a second
            both_live.wait()
            say(f"{name} is halfway")
            both_live.wait()
            progress.update(10)

    threads = [
        threading.Thread(target=work, args=(name,)) for name in ("train_vae", "score_images")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    screen = terminal.getvalue()
    assert "train_vae is halfway" in screen
    assert "score_images is halfway" in screen
    assert "3/10 steps" in screen
    assert tracking._display._rich is None
