import asyncio
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from gdrl.config import MLLMRecipe, MLLMScale
from gdrl.distributed.deployment import DeploymentSettings, build
from gdrl.distributed.orphans import running_jobs
from gdrl.distributed.replica import UNPROVEN_SECONDS, Replica
from gdrl.distributed.serve import SHARED_APP, Serving, handle_of, serving
from gdrl.errors import ConfigError, EndpointError
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.questions import score_query
from tests.distributed.counting_router import LOOKS
from tests.distributed.engines import Steady, answered, known, level_of

ENGINES = "tests.distributed.engines"
YAML = Path(__file__).parents[2] / "cluster/serve_mllm.yaml"
QUERIES = [score_query(b"image %d" % image, "hat") for image in range(40)]


def levels(mllm: Serving) -> list[int]:
    return [answer.probabilities.index(1.0) for answer in mllm.answer(QUERIES)]


def applications() -> dict:
    from ray import serve

    return serve.status().applications


@pytest.mark.usefixtures("cluster")
def test_stages_share_one_deployment_that_ends_with_the_last():
    both_in, seen = threading.Barrier(2), []

    def stage() -> None:
        with serving(MLLMRecipe(), MLLMScale(), open_engine=f"{ENGINES}:Steady") as mllm:
            seen.append(mllm)
            both_in.wait(timeout=120)
            assert levels(mllm) == [level_of(q.images[0], q.question, 6) for q in QUERIES]
            both_in.wait(timeout=120)

    threads = [threading.Thread(target=stage) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen[0] == seen[1], "the revision is the replica's process"
    assert not applications()


@pytest.mark.usefixtures("cluster")
def test_a_running_deployment_is_used_checked_and_left_running():
    from ray import serve

    serve.start(proxy_location="Disabled")
    settings = DeploymentSettings(open_engine=f"{ENGINES}:Steady")
    serve.run(build(settings), name=SHARED_APP, route_prefix=None)
    try:
        with serving(MLLMRecipe(), MLLMScale()) as mllm:
            assert mllm.app == SHARED_APP
            assert mllm.answer(QUERIES[:1]) == [known(QUERIES[0])]
        with (
            pytest.raises(EndpointError, match=r"serves 'embedded'.*asks for 'llava'"),
            serving(MLLMRecipe(model="llava"), MLLMScale()),
        ):
            pass
        assert applications()[SHARED_APP].status == "RUNNING"
    finally:
        serve.delete(SHARED_APP)


@pytest.mark.usefixtures("cluster")
def test_a_model_that_does_not_load_is_named():
    with (
        pytest.raises(EndpointError, match="no model at /nowhere"),
        serving(MLLMRecipe(model="/nowhere"), MLLMScale(), open_engine=f"{ENGINES}:missing"),
    ):
        pass
    assert not applications()


@pytest.mark.usefixtures("cluster")
def test_replicas_that_can_never_fit_are_refused_at_once():
    with (
        pytest.raises(ConfigError, match=r"needs 40 CPU of 4 .*scale\.mllm"),
        serving(MLLMRecipe(), MLLMScale(num_replicas=40)),
    ):
        pass


@pytest.mark.usefixtures("cluster")
def test_more_and_fewer_replicas_lose_no_request(tmp_path: Path):
    """What ``serve deploy`` does with a file of another ``num_replicas``: 1, 3, 1."""
    settings = DeploymentSettings(
        mllm=MLLMRecipe(model=str(tmp_path)),
        scale=MLLMScale(batch_size=2),
        open_engine=f"{ENGINES}:Slow",
    )
    deploy(settings, num_replicas=1)
    asked: list[Query] = []
    stop = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask_until, stop, asked) for _ in range(8)]
        for num_replicas in (3, 1):
            before = len(asked)
            deploy(settings, num_replicas)
            wait_for(lambda: len(running_replicas()) == num_replicas)  # noqa: B023
            wait_for(lambda: len(asked) > before + 50)  # noqa: B023
        stop.set()
        for client in clients:
            client.result()  # raises what a lost request raised
    from ray import serve

    serve.delete(SHARED_APP)
    assert sorted(answered(tmp_path)) == sorted(
        f"{query.images[0].decode()} {query.question}" for query in asked
    )


def deploy(settings: DeploymentSettings, num_replicas: int) -> None:
    """``serve deploy``, less the HTTP between the command and Serve's controller."""
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load(YAML.read_text())
    (application,) = config["applications"]
    application["args"] = settings.model_dump()
    application["deployments"] = [{"name": "MLLM", "num_replicas": num_replicas}]
    application["runtime_env"] = {"env_vars": {"PYTHONPATH": str(YAML.parents[1])}}
    serve.start(proxy_location="Disabled")
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
    wait_for(lambda: getattr(applications().get(SHARED_APP), "status", "") == "RUNNING")


def running_replicas() -> list:
    deployment = applications()[SHARED_APP].deployments["MLLM"]
    stopping = deployment.replica_states.get("STOPPING", 0)
    return [] if stopping else ["RUNNING"] * deployment.replica_states.get("RUNNING", 0)


def ask_until(stop: threading.Event, asked: list[Query]) -> None:
    """One client: a question at a time, each its own."""
    handle = handle_of(SHARED_APP)
    while not stop.is_set():
        query = score_query(b"image " + uuid.uuid4().hex.encode(), "hat")
        assert handle.answer.remote([query]).result(timeout_s=60) == [known(query)]
        asked.append(query)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.mark.usefixtures("cluster")
def test_requests_that_find_every_replica_full_wait_before_they_look_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five seconds' work at one replica; of two looking tasks, each looks twenty times a second."""
    counting = "tests.distributed.counting_router:Counting"
    monkeypatch.setattr("gdrl.distributed.deployment.ROUTER", counting)
    LOOKS.clear()
    slow = {"open_engine": f"{ENGINES}:FixedLatency"}
    with serving(MLLMRecipe(model="1000"), MLLMScale(), **slow) as mllm:
        handle = handle_of(mllm.app)
        asked = [handle.answer.remote([query]) for query in QUERIES[:5]]
        answers = [reply.result(timeout_s=60) for reply in asked]
    assert answers == [[known(query)] for query in QUERIES[:5]]
    assert len(answers) <= len(LOOKS) < 500, "thousands, where it does not wait"


@pytest.mark.usefixtures("cluster")
def test_what_a_killed_job_left_is_deleted_by_the_next():
    import ray

    address = ray.get_runtime_context().gcs_address
    job = subprocess.Popen(
        [sys.executable, "-c", LEFT_RUNNING.format(address=address, engines=ENGINES)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=YAML.parents[1],
    )
    assert job.stdout is not None
    left = next(line.split()[1] for line in job.stdout if line.startswith("up "))
    with serving(MLLMRecipe(), MLLMScale(), open_engine=f"{ENGINES}:Steady"):
        assert left in applications(), "its job still runs"
    job.kill()
    job.wait()
    wait_for(lambda: left.split("-")[1] not in running_jobs())  # Ray takes a moment to notice
    with serving(MLLMRecipe(), MLLMScale(), open_engine=f"{ENGINES}:Steady"):
        assert left not in applications()
    assert not applications()


LEFT_RUNNING = """
import time
from gdrl.config import ClusterScale, MLLMRecipe, MLLMScale
from gdrl.distributed.serve import serving
from gdrl.distributed.session import connect

connect(ClusterScale(address={address!r}))
with serving(MLLMRecipe(), MLLMScale(), open_engine="{engines}:Steady") as mllm:
    print("up", mllm.app, flush=True)
    time.sleep(600)
"""


class Broken(Steady):
    """Answered once; now its device is lost."""

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return [Answer("failed", reason="device lost")] * len(queries)


@pytest.mark.parametrize(("engine", "healthy"), [("Steady", True), ("Down", False)])
def test_a_replica_that_nobody_asks_is_asked_a_question(
    engine: str, healthy: bool, monkeypatch: pytest.MonkeyPatch
):
    replica = Replica(MLLMRecipe(), 2, 1, f"{ENGINES}:{engine}")
    asyncio.run(replica.check_health())  # loading it is proof enough for a minute
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + UNPROVEN_SECONDS + 1)
    expected = nullcontext() if healthy else pytest.raises(ConnectionRefusedError)
    with expected:
        asyncio.run(replica.check_health())


def test_a_replica_whose_engine_fails_every_query_is_ill(monkeypatch: pytest.MonkeyPatch):
    replica = Replica(MLLMRecipe(), 2, 1, f"{__name__}:Broken")
    began = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: began + UNPROVEN_SECONDS + 1)
    with pytest.raises(RuntimeError, match="device lost"):
        asyncio.run(replica.check_health())


@pytest.mark.parametrize(
    "scale", [MLLMScale(max_replicas=8), MLLMScale(num_replicas=0, max_replicas=2)]
)
def test_replicas_follow_the_requests_at_hand(scale: MLLMScale):
    from ray.serve.config import AutoscalingConfig

    (deployment,) = [build(DeploymentSettings(scale=scale))._bound_deployment]
    config = deployment._deployment_config.autoscaling_config
    assert isinstance(config, AutoscalingConfig)
    assert (config.min_replicas, config.max_replicas) == (scale.num_replicas, scale.max_replicas)
    assert config.target_ongoing_requests < deployment.max_ongoing_requests


@pytest.mark.usefixtures("cluster")
def test_a_deployment_may_begin_with_no_replica():
    scale = MLLMScale(num_replicas=0, max_replicas=1)
    with serving(MLLMRecipe(), scale, open_engine=f"{ENGINES}:Steady") as mllm:
        assert mllm.answer(QUERIES[:1]) == [known(QUERIES[0])]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_replicas": 0}, "answers nothing"),
        ({"num_replicas": 3, "max_replicas": 2}, "is below num_replicas"),
    ],
)
def test_numbers_of_replicas_that_make_no_sense_are_refused(settings: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        MLLMScale(**settings)


def test_an_endpoint_needs_no_cluster():
    recipe = MLLMRecipe(model="llava", endpoint="http://localhost:1/v1")
    with serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:Steady") as mllm:
        assert (mllm.app, mllm.model) == ("", "llava")
        assert mllm.answer(QUERIES[:1]) == [known(QUERIES[0])]


class Lost(Steady):
    """Listens, and breaks every connection."""

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        return [Answer("failed", reason="connection reset", lost=True)] * len(queries)


def test_an_endpoint_that_hears_nothing_is_an_error():
    recipe = MLLMRecipe(model="llava", endpoint="http://localhost:1/v1")
    with (
        serving(recipe, MLLMScale(), open_engine=f"{__name__}:Lost") as mllm,
        pytest.raises(EndpointError, match="connection reset"),
    ):
        mllm.answer(QUERIES[:2])


def test_the_shared_deployment_has_only_keys_that_serve_knows():
    from ray.serve.schema import ServeApplicationSchema, ServeDeploySchema

    config = yaml.safe_load(YAML.read_text())
    assert set(config) <= set(ServeDeploySchema.model_fields)
    (application,) = config["applications"]
    assert set(application) <= set(ServeApplicationSchema.model_fields)
    ServeDeploySchema.model_validate(config)
    assert application["name"] == SHARED_APP
    assert application["route_prefix"] is None
    assert config["proxy_location"] == "Disabled"
    assert config["http_options"]["host"] == "127.0.0.1"
    assert build(DeploymentSettings.model_validate(application["args"]))
