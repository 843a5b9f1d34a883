"""The MLLM of a recipe, behind one face: a Serve deployment, found or started, or an endpoint."""

import functools
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gdrl.config import MLLMRecipe, MLLMScale
from gdrl.distributed.deployment import OPEN_ENGINE, DeploymentSettings, build
from gdrl.distributed.identity import Identity
from gdrl.distributed.orphans import app_name, delete_orphans
from gdrl.distributed.reference import resolve
from gdrl.distributed.session import connect, quieten, require
from gdrl.errors import EndpointError
from gdrl.mllm.engine import Answer, Engine, Query
from gdrl.tracking import say

SHARED_APP = "mllm"
"""Name under which ``cluster/serve_mllm.yaml`` keeps a deployment that outlives jobs."""

ATTEMPTS = 3
"""Of the few queries of :meth:`Serving.answer` to an endpoint; streams have their own patience."""

START_SECONDS = 900.0
"""How long a deployment may take: a node to boot, an image to pull, weights to load."""

ANSWER_SECONDS = 600.0
"""How long the few queries of :meth:`Serving.answer` may take."""


@dataclass(frozen=True)
class Serving:
    """An MLLM that answers now, inside the :func:`serving` block that gave it. Small; pickles."""

    recipe: MLLMRecipe
    model: str
    revision: str
    app: str = ""
    """The Serve application; empty for an HTTP endpoint."""
    open_engine: str = OPEN_ENGINE
    images_per_request: int = 1
    """What fills a forward pass of a replica; a server behind an endpoint gathers for itself."""

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer a few hundred queries at most, in order; streams go through ``score_stream``.

        Raises:
            EndpointError: the MLLM does not answer.
        """
        if not self.app:
            return _ask_endpoint(client_engine(self.recipe, self.open_engine), queries)
        return _ask(handle_of(self.app), queries, self.images_per_request)


def handle_of(app: str) -> Any:
    """A handle of the application's deployment; works in any process of the cluster."""
    from ray import serve

    return serve.get_deployment_handle("MLLM", app_name=app)


@functools.lru_cache(maxsize=1)
def client_engine(recipe: MLLMRecipe, open_engine: str) -> Any:
    """The engine of an HTTP endpoint, opened once in each process that asks it."""
    return resolve(open_engine)(recipe)


def _ask_endpoint(engine: Engine, queries: Sequence[Query]) -> list[Answer]:
    """Answers in order; what failed is asked again, after the time that the server wants."""
    answers = engine.answer(queries)
    for attempt in range(1, ATTEMPTS):
        failed = [place for place, answer in enumerate(answers) if answer.status == "failed"]
        if not failed:
            break
        time.sleep(max(answers[place].retry_after_seconds or 0.5 * attempt for place in failed))
        for place, answer in zip(failed, engine.answer([queries[i] for i in failed]), strict=True):
            answers[place] = answer
    if all(answer.lost for answer in answers):
        raise EndpointError(answers[0].reason)
    return answers


def _ask(handle: Any, queries: Sequence[Query], size: int) -> list[Answer]:
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    chunks = [queries[start : start + size] for start in range(0, len(queries), size)]
    responses = [handle.answer.remote(chunk) for chunk in chunks]
    try:
        answers = [response.result(timeout_s=ANSWER_SECONDS) for response in responses]
    except (RayError, RayServeException, TimeoutError) as error:
        raise EndpointError(
            f"the MLLM deployment does not answer ({error}); run the same command again, "
            "finished stages are kept"
        ) from error
    return [answer for chunk in answers for answer in chunk]


# --- who is running, and for how many ------------------------------------------------------------


@dataclass
class _Lease:
    serving: Serving
    started: bool
    users: int = 0


_leases: dict[str, _Lease] = {}
_lock = threading.Lock()


@contextmanager
def serving(
    recipe: MLLMRecipe, scale: MLLMScale, *, open_engine: str = OPEN_ENGINE
) -> Iterator[Serving]:
    """The recipe's MLLM: what serves it already, or a deployment that ends with its last user.

    Stages that run at the same time share one deployment. A running application named ``mllm``
    (``cluster/serve_mllm.yaml``) is used and left running. With ``recipe.endpoint`` nothing is
    deployed.

    Raises:
        EndpointError: the model does not load, or what runs serves another model.
        ConfigError: the replicas can never fit on this machine.
    """
    key = f"{recipe.model_dump_json()} {open_engine}"
    with _lock:  # held while starting: a second stage waits for the first one's deployment
        lease = _leases.get(key)
        if lease is None:
            lease = _leases[key] = _open(recipe, scale, open_engine)
        lease.users += 1
    try:
        yield lease.serving
    finally:
        with _lock:
            lease.users -= 1
            if lease.users == 0:
                del _leases[key]
                if lease.started:
                    _stop(lease.serving.app)


def _open(recipe: MLLMRecipe, scale: MLLMScale, open_engine: str) -> _Lease:
    if recipe.endpoint:
        engine = client_engine(recipe, open_engine)
        say(f"MLLM  {engine.model}, {_revision(engine.revision)}, at {recipe.endpoint}")
        return _Lease(Serving(recipe, engine.model, engine.revision, "", open_engine), False)
    connect()
    delete_orphans()
    app = SHARED_APP if _runs(SHARED_APP) else ""
    started = not app
    if started:
        app = _start(DeploymentSettings(mllm=recipe, scale=scale, open_engine=open_engine))
    try:
        identity = _checked_identity(app, recipe)
    except EndpointError:
        if started:
            _stop(app)
        raise
    found = "started, and stopped at the end" if started else f"found as {app!r}, left running"
    say(f"MLLM  {identity.model}, {_revision(identity.revision)}, {found}")
    return _Lease(
        Serving(recipe, identity.model, identity.revision, app, open_engine, identity.batch_size),
        started,
    )


def _revision(revision: str) -> str:
    return f"revision {revision}" if revision else "of no known revision"


def _runs(app: str) -> bool:
    from ray import serve

    return app in serve.status().applications


def _start(settings: DeploymentSettings) -> str:
    from ray import serve

    scale = settings.scale
    least = max(1, scale.num_replicas)
    require(
        {
            "CPU": float(least * scale.threads_per_replica),
            "GPU": least * scale.gpus_per_replica,
        }
        | {key: least * value for key, value in scale.resources_per_replica.items()},
        f"the MLLM ({least} replicas)",
        "lower num_replicas, threads_per_replica, gpus_per_replica or resources_per_replica in "
        "scale.mllm, or raise scale.cluster.num_cpus",
    )
    # The job's id in the name: what one job starts and stops, no other job finds and relies on.
    app = app_name(zlib.crc32(settings.model_dump_json().encode()))
    quieten("ray.serve")
    serve.start(proxy_location="Disabled")  # handles only: no port is opened
    target = serve.RunTarget(target=build(settings), name=app, route_prefix=None)
    serve.run_many([target], wait_for_applications_running=False)
    try:
        _wait_until_running(app)
    except EndpointError:
        _stop(app)
        raise
    return app


def _wait_until_running(app: str) -> None:
    from ray import serve

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        status = serve.status().applications[app]
        if status.status == "RUNNING":
            return
        if status.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise EndpointError(
                f"the MLLM cannot be started: {_reason(status)}. Check recipe.mllm.model"
            )
        time.sleep(0.1)
    raise EndpointError(
        f"the MLLM did not start within {START_SECONDS:g} s: {_reason(status)}. "
        "Check scale.mllm against what the cluster has"
    )


def _reason(status: Any) -> str:
    messages = [status.message, *(each.message for each in status.deployments.values())]
    return " ".join(message.strip() for message in messages if message.strip())


def _checked_identity(app: str, recipe: MLLMRecipe) -> Identity:
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        identity: Identity = handle_of(app).identity.remote().result(timeout_s=START_SECONDS)
    except (RayError, RayServeException, TimeoutError) as error:
        raise EndpointError(f"the Serve application {app!r} does not answer: {error}") from error
    if identity.asked_for != recipe.model:
        raise EndpointError(
            f"the running Serve application {app!r} serves {identity.asked_for!r}, the recipe asks "
            f"for {recipe.model!r}; set recipe.mllm.model, or deploy cluster/serve_mllm.yaml with "
            "that model"
        )
    return identity


def _stop(app: str) -> None:
    """End the application. The controller stays: idle it is cheap, and the next start is sooner."""
    from ray import serve

    serve.delete(app)
