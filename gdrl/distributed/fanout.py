"""Call one function on many arguments as Ray tasks, as many at once as the cluster holds."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from gdrl.config import TrainScale
from gdrl.distributed.reference import resolve
from gdrl.distributed.remote import environment_of, last_line, resources_of
from gdrl.distributed.session import connect, require
from gdrl.errors import TrainingFailed


def fan_out(
    function: str, arguments: Mapping[str, BaseModel], scale: TrainScale
) -> Iterator[tuple[str, Any]]:
    """Yield ``(key, function(argument, scale))`` as tasks end, in whatever order they do.

    Args:
        function: ``module:function``.
        arguments: one for each call.
        scale: threads and devices of each task, and how often a lost worker's task is repeated.

    Raises:
        TrainingFailed: calls failed; after all others were yielded.
        ConfigError: a task can never fit on this machine.
    """
    connect()
    call = _task(function, scale)
    pending = {call.remote(function, value, scale): key for key, value in arguments.items()}
    failed: dict[str, str] = {}
    yield from _as_completed(pending, failed)
    if failed:
        told = "; ".join(f"{key}: {message}" for key, message in sorted(failed.items()))
        raise TrainingFailed(
            f"{len(failed)} of {len(arguments)} failed ({told}). The others are kept: the same "
            "command repeats the failed ones alone"
        )


def _task(function: str, scale: TrainScale) -> Any:
    import ray

    require(
        resources_of(scale),
        f"each task of {function}",
        "lower threads_per_worker or resources_per_worker, or raise scale.cluster.num_cpus",
    )
    return ray.remote(
        num_cpus=scale.threads_per_worker,
        num_gpus=int(scale.use_gpu),
        resources=scale.resources_per_worker,
        max_retries=scale.max_failures,
        runtime_env={"env_vars": environment_of(scale)},
    )(_call)


def _as_completed(pending: dict[Any, str], failed: dict[str, str]) -> Iterator[tuple[str, Any]]:
    """What each task returned; the last line of what it raised goes to ``failed``."""
    import ray

    while pending:
        (done, *_), _ = ray.wait(list(pending))
        key = pending.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayError as error:
            failed[key] = last_line(error)
            continue
        yield key, result


def _call(function: str, argument: BaseModel, scale: TrainScale) -> Any:
    return resolve(function)(argument, scale)
