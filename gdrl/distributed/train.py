"""Run a training function on Ray Train workers, to the end, whatever dies on the way.

The run's name carries a digest of everything that decides its weights. The same command after a
crash, a kill or a lost node therefore finds the last checkpoint; a changed recipe never does.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from gdrl.artifacts import Run, Source, Storage, open_store
from gdrl.config import Tracking, TrainRecipe, TrainScale
from gdrl.distributed.filesystem import filesystem
from gdrl.distributed.relay import Row, start_relay
from gdrl.distributed.remote import environment_of, last_line, resources_of
from gdrl.distributed.session import connect, require
from gdrl.distributed.worker import Task, work
from gdrl.errors import TrainingFailed
from gdrl.tracking import MlflowRun, Progress, mlflow_run, say
from gdrl.training.job import PUBLISHED

START_ATTEMPTS = 10
"""Of 60 s each: how long workers may wait for a cluster to grow before the run gives up."""

POLL_SECONDS = 0.5

SILENT_SECONDS = 120.0
"""Without a word from the workers, which may be waiting for nodes: elastic ones do so for ever."""

PACE = "images_per_second"


def fit(
    train_fn: str,
    *,
    name: str,
    recipe: TrainRecipe,
    inputs: Mapping[str, Source],
    scale: TrainScale,
    storage: Storage,
    out: Path,
    tracking: Tracking | None = None,
) -> dict[str, float]:
    """Train to the end and copy what the last checkpoint publishes to ``out``.

    Args:
        train_fn: ``module:function`` of a ``train(job: TrainingJob) -> None``.
        name: the stage, as shown while it runs.
        recipe: what decides the weights, together with ``train_fn`` and the inputs' contents.
        inputs: finished artifacts; each worker opens them for itself.
        scale: workers, threads, retries.
        storage: where checkpoints go; the same one resumes.
        out: folder that receives the files of the last checkpoint's ``published/``.
        tracking: where losses go while it runs, besides progress; nowhere by default.

    Returns:
        The metrics reported with the last checkpoint.

    Raises:
        TrainingFailed: a worker failed more than ``scale.max_failures`` times, or never started
            (of a fixed number: elastic ones wait), or the loss stopped being finite.
        ConfigError: the workers can never fit on this machine, or MLflow is asked for and cannot be
            had.
    """
    connect()
    _require_workers(name, scale)
    digest = digest_of(train_fn, recipe, inputs)
    task = Task(
        train_fn=train_fn,
        recipe=recipe,
        scale=scale,
        inputs=dict(inputs),
        digest=digest,
        relay=start_relay(),
    )
    run = f"{name}-{digest[:12]}"
    with (
        _mlflow(run, recipe, tracking) as mlflow,
        Progress(name, total=recipe.steps, unit="steps") as progress,
    ):
        result = _run(_trainer(task, run, storage), task, name, progress, mlflow)
    return _publish(result, name, out)


def _require_workers(name: str, scale: TrainScale) -> None:
    fewest = scale.min_workers or scale.num_workers
    require(
        {key: fewest * amount for key, amount in resources_of(scale).items()},
        f"{name} ({fewest} workers)",
        "lower num_workers, threads_per_worker or resources_per_worker in this stage's scale "
        "section, or raise scale.cluster.num_cpus",
    )


def digest_of(train_fn: str, recipe: TrainRecipe, inputs: Mapping[str, Source]) -> str:
    """SHA-256 over all that decides the weights: the function, its recipe, its inputs' contents.

    The contents, for an artifact's fingerprint says what was asked for: deleted and made again, the
    scores of an MLLM may differ under the same one.
    """
    decisive = {
        "train_fn": train_fn,
        "recipe": recipe.model_dump(mode="json"),
        "inputs": {key: _content(inputs[key]) for key in sorted(inputs)},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _content(source: Source) -> list[tuple[str, str]]:
    manifest = Run(open_store(source.storage), source.run).finished(source.artifact)
    return [(entry.path, entry.sha256) for entry in manifest.files]


def _trainer(task: Task, run: str, storage: Storage) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    scale = task.scale
    storage_filesystem, storage_path = filesystem(storage)
    return TorchTrainer(
        work,  # type: ignore[arg-type]  # Ray Train returns what it returns
        train_loop_config={"task": task},
        torch_config=TorchConfig(backend="nccl" if scale.use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=_num_workers(scale),  # type: ignore[arg-type]  # annotated as in V1
            use_gpu=scale.use_gpu,
            resources_per_worker=resources_of(scale),
        ),
        run_config=RunConfig(  # type: ignore[call-arg]  # Ray's annotations are those of Train V1
            name=run,
            storage_path=storage_path,
            storage_filesystem=storage_filesystem,
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            failure_config=FailureConfig(  # type: ignore[call-arg]
                max_failures=scale.max_failures,
                # An elastic run meets one or two for each node it loses, all its life.
                controller_failure_limit=-1 if scale.min_workers else START_ATTEMPTS,
            ),
            worker_runtime_env={"env_vars": environment_of(scale)},
        ),
    )


def _num_workers(scale: TrainScale) -> int | tuple[int, int]:
    """A fixed number, or the fewest and the most."""
    return (scale.min_workers, scale.num_workers) if scale.min_workers else scale.num_workers


def _run(trainer: Any, task: Task, name: str, progress: Progress, mlflow: MlflowRun | None) -> Any:
    """Fit in a thread of its own and show progress meanwhile.

    In the main thread Ray Train would replace the SIGINT handler for good, and Ctrl-C in any later
    stage would exit 0.
    """
    import ray
    from ray.train import ControllerError, WorkerGroupError

    thread = ThreadPoolExecutor(1, thread_name_prefix=f"fit-{name}")
    future = thread.submit(trainer.fit)
    thread.shutdown(wait=False)
    told_at = time.monotonic()
    while not wait([future], timeout=POLL_SECONDS).done:
        if rows := ray.get(task.relay.take.remote()):
            told_at = time.monotonic()
        elif time.monotonic() > told_at + SILENT_SECONDS:
            told_at = time.monotonic()
            say(f"{name} is silent for {SILENT_SECONDS:.0f} s: `ray status` shows who waits")
        _show(rows, progress, mlflow)
    _show(ray.get(task.relay.take.remote()), progress, mlflow)
    try:
        result = future.result()
    except WorkerGroupError as error:
        raise TrainingFailed(
            f"{name} failed {task.scale.max_failures + 1} times, the last time with: "
            f"{_messages(error.worker_failures)}. Its last checkpoint is kept: "
            "the same command resumes from it"
        ) from error
    except ControllerError as error:
        raise TrainingFailed(
            f"{name} could not run: {error.controller_failure}. Check num_workers, "
            "threads_per_worker, use_gpu and resources_per_worker in its scale section against "
            "what the cluster has"
        ) from error
    if result.return_value is not None:
        kept = result.checkpoint.path if result.checkpoint else "none"
        raise TrainingFailed(f"{name} diverged at {result.return_value}. Checkpoint kept: {kept}")
    return result


def _show(rows: list[Row], progress: Progress, mlflow: MlflowRun | None) -> None:
    if not rows:
        return
    step, metrics = rows[-1]
    progress.update(step, metrics=_pace_first(metrics))
    if mlflow is not None:
        mlflow.write(rows)


def _mlflow(
    run: str, recipe: TrainRecipe, tracking: Tracking | None
) -> AbstractContextManager[MlflowRun | None]:
    wanted = tracking is not None and tracking.mlflow
    return mlflow_run(run, recipe.model_dump()) if wanted else nullcontext()


def _pace_first(metrics: Mapping[str, float]) -> dict[str, float]:
    """As people read it: images per second, then the losses; the bar tells the time itself."""
    losses = {key: value for key, value in metrics.items() if key not in (PACE, "seconds")}
    return ({"images/s": metrics[PACE]} if PACE in metrics else {}) | losses


def _messages(failures: Mapping[int, Exception]) -> str:
    """Each worker's own last line, once: a traceback ends in what a person needs."""
    lines = [last_line(failure) for _, failure in sorted(failures.items())]
    return "; ".join(dict.fromkeys(lines))


def _publish(result: Any, name: str, out: Path) -> dict[str, float]:
    from pyarrow.fs import FileType, copy_files

    if result.checkpoint is None or result.metrics is None:
        raise TrainingFailed(f"{name} ended, but its training function reported no checkpoint")
    # Only what is published: optimiser states are twice the weights.
    checkpoint, published = result.checkpoint, f"{result.checkpoint.path}/{PUBLISHED}"
    if checkpoint.filesystem.get_file_info(published).type != FileType.Directory:
        raise TrainingFailed(f"the last checkpoint of {name} holds no {PUBLISHED}/ folder")
    out.mkdir(parents=True, exist_ok=True)
    copy_files(published, str(out), source_filesystem=checkpoint.filesystem)
    metrics: dict[str, Any] = result.metrics
    return {key: value for key, value in metrics.items() if key != "step"}
