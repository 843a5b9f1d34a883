import io
import threading
from pathlib import Path

import pytest
from rich.console import Console

from gdrl import tracking
from gdrl.tracking import MetricLog, Progress, say, write_tensorboard


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
    assert len(lines) == 3


def test_counts_are_readable_with_and_without_a_total() -> None:
    progress = Progress("score_images", unit="images")
    progress.update(1200)
    assert progress.counts == "1,200 images"
    progress.update(1300, 1500)
    assert progress.counts == "1,300/1,500 images"


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
