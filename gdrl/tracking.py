"""Scalars and progress to where people look: JSON lines and bars always, the rest by choice."""

import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gdrl.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_SECONDS = 5.0
"""Without a terminal, a bar is a line at most this often."""

ESTIMATE_SECONDS = 5.0
"""Nobody can tell from less how long the rest will take."""

NUM_SHOWN = 4
"""Metrics shown beside a bar; the rest are in metrics.jsonl."""


MLFLOW_EXPERIMENT = "gdrl"
MLFLOW_TAG = "gdrl.training"
MLFLOW_BATCH = 1_000
"""The most metrics that MLflow takes at once."""


class MetricLog:
    """A JSON-lines file of scalars: one object a line, ``step`` among its keys."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, step: int, **metrics: float) -> None:
        """Append one line; it is in the file when this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")

    def __iter__(self) -> Iterator[dict[str, float]]:
        """The lines, in order; none where the file does not exist."""
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                yield json.loads(line)


def write_tensorboard(log: MetricLog, folder: Path) -> None:
    """Write a log's scalars as TensorBoard event files into ``folder``; nothing for no log."""
    if not log.path.exists():
        return
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for row in log:
            for name, value in row.items():
                if name != "step":
                    writer.add_scalar(name, value, int(row["step"]))


class MlflowRun:
    """A run of MLflow that is being written."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    def write(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Log the scalars of some steps.

        A server that is gone ends this and not the training: ``metrics.jsonl`` holds all of it.
        """
        if self._client is None:
            return
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        now = int(time.time() * 1000)
        metrics = [
            Metric(name, value, now, step) for step, row in rows for name, value in row.items()
        ]
        try:
            for start in range(0, len(metrics), MLFLOW_BATCH):
                self._client.log_batch(self._run_id, metrics[start : start + MLFLOW_BATCH])
        except MlflowException as error:
            say(f"MLflow takes no more ({error}); metrics.jsonl goes on")
            self._client = None


@contextmanager
def mlflow_run(name: str, params: Mapping[str, object]) -> Iterator[MlflowRun]:
    """The MLflow run of this name in the experiment ``gdrl``: gone on with, or begun.

    Raises:
        ConfigError: MLflow is not installed, or cannot be reached.
    """
    # MLflow counts its users unless told not to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise ConfigError(
            "tracking.mlflow = true needs MLflow, which is not installed: pip install "
            "mlflow-skinny, or set tracking.mlflow = false"
        ) from error
    try:
        client = MlflowClient()
        run_id = _find_or_begin(client, name, params)
    except MlflowException as error:
        raise ConfigError(
            f"MLflow cannot be used ({error}); correct MLFLOW_TRACKING_URI, or set "
            "tracking.mlflow = false"
        ) from error
    status = "FAILED"
    try:
        yield MlflowRun(client, run_id)
        status = "FINISHED"
    finally:
        with suppress(MlflowException):
            client.set_terminated(run_id, status)


def _find_or_begin(client: Any, name: str, params: Mapping[str, object]) -> str:
    experiment = client.get_experiment_by_name(MLFLOW_EXPERIMENT)
    where = experiment.experiment_id if experiment else client.create_experiment(MLFLOW_EXPERIMENT)
    found = client.search_runs([where], f"tags.`{MLFLOW_TAG}` = '{name}'", max_results=1)
    if found:
        run_id: str = found[0].info.run_id
        client.update_run(run_id, status="RUNNING")
        return run_id
    run = client.create_run(where, run_name=name, tags={MLFLOW_TAG: name})
    for key, value in params.items():
        client.log_param(run.info.run_id, key, value)
    return str(run.info.run_id)


class Progress:
    """One named bar; use it as a context manager, from any thread, beside any number of others.

    In a terminal all live bars share one display; elsewhere each prints a line now and then.
    """

    def __init__(self, name: str, total: int | None = None, unit: str = "steps") -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self._metrics = ""
        self._next_line = 0.0
        self._first: tuple[int, float] | None = None

    def __enter__(self) -> Self:
        _display.add(self)
        return self

    def update(
        self, done: int, total: int | None = None, metrics: Mapping[str, float] | None = None
    ) -> None:
        """Say how many units are done in all, and of how many where that is news."""
        self.done = done
        self._first = self._first or (done, time.monotonic())
        self.total = self.total if total is None else total
        shown = list((metrics or {}).items())[:NUM_SHOWN]
        self._metrics = "  ".join(f"{name} {value:.4g}" for name, value in shown)
        _display.refresh(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _display.remove(self)

    @property
    def counts(self) -> str:
        """``1,200/8,000 images  loss 0.31  4 min left``."""
        of = f"/{self.total:,}" if self.total else ""
        said = (f"{self.done:,}{of} {self.unit}", self._metrics, self._left())
        return "  ".join(part for part in said if part)

    def _left(self) -> str:
        """How long the rest will take at the pace since the first update, in words."""
        if self._first is None or not self.total:
            return ""
        since, seconds = self.done - self._first[0], time.monotonic() - self._first[1]
        if not since or seconds < ESTIMATE_SECONDS:
            return ""
        left = (self.total - self.done) * seconds / since
        return f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"

    def due(self, now: float) -> bool:
        """Whether a line may be printed again; True at most every ``LINE_SECONDS``."""
        if now < self._next_line:
            return False
        self._next_line = now + LINE_SECONDS
        return True


def say(line: str) -> None:
    """Print a line of its own, above whatever bars are live."""
    _display.say(line)


class _Display:
    """What all bars of this process share: one lock, and in a terminal one rich display."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._console: Console | None = None
        self._rich: RichProgress | None = None
        self._tasks: dict[Progress, TaskID] = {}

    def add(self, bar: Progress) -> None:
        with self._lock:
            if not self._terminal().is_terminal:
                return
            if self._rich is None:
                self._rich = _bars(self._terminal())
                self._rich.start()
            self._tasks[bar] = self._rich.add_task(bar.name, total=bar.total, counts="")

    def refresh(self, bar: Progress) -> None:
        with self._lock:
            if self._rich and bar in self._tasks:
                task = self._tasks[bar]
                self._rich.update(task, completed=bar.done, total=bar.total, counts=bar.counts)
            elif bar.due(time.monotonic()):
                print(f"  {bar.name}: {bar.counts}", flush=True)

    def remove(self, bar: Progress) -> None:
        with self._lock:
            task = self._tasks.pop(bar, None)
            if self._rich is None or task is None:
                return
            self._rich.remove_task(task)
            if not self._tasks:
                self._rich.stop()
                self._rich = None

    def say(self, line: str) -> None:
        with self._lock:
            if self._rich:
                self._rich.console.print(line, markup=False, highlight=False, soft_wrap=True)
            else:
                print(line, flush=True)

    def _terminal(self) -> "Console":
        from rich.console import Console

        self._console = self._console or Console()
        return self._console


def _bars(console: "Console") -> "RichProgress":
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("  {task.description:<14}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )


_display = _Display()
