"""Run what is missing: stages whose needs are met run at the same time, each commits its artifact.

A stage's heavy work is on Ray, so a thread per running stage is enough here.
"""

import importlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from gdrl.artifacts import (
    Artifact,
    Inputs,
    Manifest,
    Metrics,
    Run,
    Store,
    describe_files,
    git_commit,
    package_versions,
    plain_metrics,
)
from gdrl.config import RunConfig
from gdrl.errors import GdrlError, StageFailed
from gdrl.pipeline import Decision, Stage, dependents, plan, refuse_drift, select
from gdrl.tracking import NUM_SHOWN, MetricLog, say, write_tensorboard

Session = Callable[[RunConfig], AbstractContextManager[None]]


@contextmanager
def ray_session(config: RunConfig) -> Iterator[None]:
    """The Ray cluster of ``scale.cluster``, left again at the end."""
    from gdrl.distributed import session

    say("connect to Ray")
    session.connect(config.scale.cluster)
    try:
        yield
    finally:
        session.disconnect()


def execute(
    config: RunConfig,
    store: Store,
    *,
    artifact: str | None = None,
    overwrite: bool = False,
    stages: Sequence[Stage] | None = None,
    session: Session = ray_session,
) -> None:
    """Make ``artifact``, or with None every artifact that is missing.

    Raises:
        ArtifactDrift: finished artifacts were made otherwise, and ``overwrite`` is not said.
        ArtifactMissing: ``artifact`` needs others that are not finished.
        StageFailed: after all stages that do not need the failed one have finished.
    """
    decisions = plan(config, store, stages)
    if overwrite:
        _discard_drifted(config, store, artifact, decisions)
        decisions = plan(config, store, stages)
    if artifact is not None:
        decisions = select(artifact, decisions)
    refuse_drift(decisions)
    for decision in decisions:
        if decision.action == "skip":
            say(
                f"skip  {decision.stage.name}: {decision.run}/{decision.stage.artifact} is finished"
            )
    todo = [decision for decision in decisions if decision.action == "run"]
    if todo:
        sources = {decision.stage.artifact: decision.run for decision in decisions}
        attempt = _Attempt(config, Run(store, config.name), sources)
        with session(config):
            attempt.run_all(todo)


def _discard_drifted(
    config: RunConfig, store: Store, artifact: str | None, decisions: Sequence[Decision]
) -> None:
    """Delete what has drifted: of a whole run, or only ``artifact`` and what depends on it."""
    run, stages = Run(store, config.name), [decision.stage for decision in decisions]
    chosen = {stage.artifact for stage in stages}
    if artifact is not None:
        refuse_drift(select(artifact, decisions)[:-1])
        chosen = dependents(artifact, stages)
    for decision in decisions:
        stage = decision.stage
        if decision.action == "drift" and stage.artifact in chosen:
            say(f"delete  {config.name}/{stage.artifact}")
            run.discard(stage.artifact, stage.name)


class _Attempt:
    """One go at what is missing: its number, its log, and where each input comes from."""

    def __init__(self, config: RunConfig, run: Run, sources: Mapping[str, str]) -> None:
        self.config, self.run, self.sources = config, run, sources
        self.number = run.attempt(config.model_dump(mode="json"))
        self.versions, self.git_commit = package_versions(), git_commit()

    def run_all(self, todo: Sequence[Decision]) -> None:
        """Start each stage once nothing that it needs is outstanding."""
        # Before any thread: SciPy trips over a torch that another thread is still importing.
        modules = {d.stage.name: importlib.import_module(d.stage.module) for d in todo}
        waiting, failed = list(todo), list[tuple[Stage, BaseException]]()
        running: dict[Future[None], Decision] = {}
        # No `with`: on Ctrl-C its exit would wait for the running stages.
        pool = ThreadPoolExecutor(max_workers=len(todo), thread_name_prefix="stage")
        while waiting or running:
            outstanding = {d.stage.artifact for d in (*waiting, *running.values())}
            for decision in [d for d in waiting if not outstanding.intersection(d.stage.needs)]:
                waiting.remove(decision)
                module = modules[decision.stage.name]
                running[pool.submit(self._run_stage, decision, module)] = decision
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage = running.pop(future).stage
                if error := future.exception():
                    failed.append((stage, error))
                    self._say(f"FAILED  {stage.name}: {_message(error)}")
                    lost = dependents(stage.artifact, [d.stage for d in todo])
                    waiting = [d for d in waiting if d.stage.artifact not in lost]
        pool.shutdown()
        if failed:
            errors = [error for _, error in failed]
            defect = next((e for e in errors if not isinstance(e, GdrlError)), errors[0])
            raise _stage_failed(failed) from defect

    def _run_stage(self, decision: Decision, module: ModuleType) -> None:
        stage = decision.stage
        self._say(f"start {stage.name}")
        started = time.time()
        inputs = self._open_inputs(stage)
        out = self.run.begin(stage.artifact, stage.name)
        metrics: Metrics = module.run(self.config, inputs, out)
        if self.config.tracking.tensorboard:
            self._write_tensorboard(out)
        seconds = time.time() - started
        manifest = Manifest(
            artifact=stage.artifact,
            stage=stage.name,
            fingerprint=decision.fingerprint,
            recipe=dict(decision.recipe),
            inputs=dict(decision.inputs),
            files=describe_files(out.path),
            metrics=plain_metrics(metrics),
            versions=self.versions,
            git_commit=self.git_commit,
            attempt=self.number,
            started=started,
            seconds=round(seconds, 3),
            created=_now(),
        )
        self.run.commit(out, manifest)
        self._say(f"done  {stage.name} in {seconds:.1f} s{_shown(manifest.metrics)}")

    def _open_inputs(self, stage: Stage) -> Inputs:
        """Verified folders of what the stage needs, each from the run that the plan named."""
        runs = {name: Run(self.run.store, self.sources[name]) for name in stage.needs}
        manifests = {name: run.finished(name) for name, run in runs.items()}
        return Inputs(
            folders={name: run.fetch(manifests[name]) for name, run in runs.items()},
            manifests={name: m.model_dump(mode="json") for name, m in manifests.items()},
            sources={name: run.source(name) for name, run in runs.items()},
        )

    def _write_tensorboard(self, out: Artifact) -> None:
        with TemporaryDirectory(prefix="gdrl-tensorboard-") as name:
            write_tensorboard(MetricLog(out.path / "metrics.jsonl"), Path(name))
            for path in Path(name).iterdir():
                key = f"{self.run.name}/attempts/{self.number}/tensorboard/{out.name}/{path.name}"
                self.run.store.create(key, path.read_bytes())

    def _say(self, line: str) -> None:
        say(line)
        self.run.log(self.number, f"{_now()}  {line}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _stage_failed(failed: Sequence[tuple[Stage, BaseException]]) -> StageFailed:
    causes = "\n".join(f"{stage.name} failed: {_message(error)}" for stage, error in failed)
    return StageFailed(f"{causes}\nWhat is finished is kept; the same command goes on from it")


def _message(error: BaseException) -> str:
    return str(error) if isinstance(error, GdrlError) else f"{type(error).__name__}: {error}"


def _shown(metrics: Mapping[str, float | None]) -> str:
    shown = [f"{k} {v:.4g}" for k, v in metrics.items() if v is not None][:NUM_SHOWN]
    return f" ({', '.join(shown)})" if shown else ""
