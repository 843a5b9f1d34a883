"""The pools of ray_cluster.yaml as raylets of this machine: who lands where, and who may die.

Slots, labels, the Serve file and the scale section are those of the files. Two CPUs a node and no
GPU; two slots on an MLLM node, so that two raylets hold four replicas. Questions cost time, no CPU.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from gdrl.artifacts import Run, Storage, open_store
from gdrl.config import ClusterScale, MLLMRecipe
from gdrl.distributed import session
from gdrl.mllm.engine import Answer, Query
from tests.distributed.engines import Steady

ROOT = Path(__file__).parents[2]
RECIPE = ("jobs/recipes/demo.toml", "cluster/scale.toml")
MODEL = "/unhurried"
SMALL = [
    "recipe.dataset.num_images=200",
    "recipe.vae.batch_size=8",
    "recipe.vae.steps=1500",
    f"recipe.mllm.model={MODEL}",
    "recipe.scores.num_images=100",
    "scale.vae.use_gpu=false",
    "scale.vae.threads_per_worker=1",
    "scale.stream.images_per_part=8",
    "scale.stream.max_in_flight=8",
]
REPLICA = {"threads_per_replica": 1, "gpus_per_replica": 0, "batch_size": 4}

pytestmark = [
    pytest.mark.timeout(1500),
    # Six raylets, and training that must outlast what happens to it: minutes on a quiet machine.
    pytest.mark.skipif("GDRL_TEST_POOLS" not in os.environ, reason="make test-pools runs it"),
]


class Unhurried(Steady):
    """Waits as a GPU would make it wait, so that there are always questions on their way."""

    def __init__(self, recipe: MLLMRecipe, **_: float) -> None:
        super().__init__(recipe)
        self.revision = "1"

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        time.sleep(0.1)
        return super().answer(queries)


class Pools:
    """A cluster in which each node belongs to a pool of ray_cluster.yaml."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        cluster = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
        self._types = cluster["available_node_types"]
        self._cluster = Cluster(shutdown_at_exit=False)
        self.nodes: dict[str, list[Any]] = {name: [] for name in self._types}
        for pool in ("head", "cpu", "trainer", "trainer", "mllm", "mllm"):
            self.add(pool)
        self.address: str = self._cluster.address

    def add(self, pool: str) -> None:
        given = dict(self._types[pool]["resources"])
        num_cpus = min(2, given.pop("CPU"))
        given.pop("GPU", None)
        if "mllm_slot" in given:
            given["mllm_slot"] *= 2
        node = self._cluster.add_node(
            num_cpus=num_cpus,
            resources=given,
            labels=self._types[pool]["labels"],
            object_store_memory=80 * 2**20,
            include_dashboard=False,
        )
        self.nodes[pool].append(node)

    def kill(self, pool: str) -> None:
        """SIGKILL to every process of a node that works, as a lost machine would look."""
        busy = [node for node in self.nodes[pool] if node.node_id in set(self.where().values())]
        self.nodes[pool].remove(busy[0])
        self._cluster.remove_node(busy[0], allow_graceful=False)

    def pool_of(self, node_id: str) -> str:
        (pool,) = [
            pool for pool, nodes in self.nodes.items() if node_id in [n.node_id for n in nodes]
        ]
        return pool

    def where(self) -> dict[str, str]:
        """The node of every actor that lives, by the actor's class and id."""
        from ray._private.state import actors

        return {
            f"{actor['ActorClassName']} {identity}": actor["Address"]["NodeID"]
            for identity, actor in actors().items()
            if actor["State"] == "ALIVE"
        }

    def pools_of(self, kind: str) -> list[str]:
        """The pools that hold the actors of a class."""
        found = self.where()
        return sorted(self.pool_of(found[name]) for name in found if kind in name.partition(" ")[0])

    def shutdown(self) -> None:
        self._cluster.shutdown()


@pytest.fixture(scope="module")
def pools() -> Iterator[Pools]:
    session._prepare_environment(private=True)
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
    pools = Pools()
    session.connect(ClusterScale(address=pools.address))
    yield pools
    session.disconnect()
    pools.shutdown()


def deploy(num_replicas: int) -> None:
    """``serve deploy cluster/serve_gpu.yaml``, less the HTTP, with a number of replicas."""
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load((ROOT / "cluster/serve_gpu.yaml").read_text())
    (application,) = config["applications"]
    application["args"]["mllm"]["model"] = MODEL
    application["args"]["scale"] |= REPLICA
    application["args"]["open_engine"] = f"{__name__}:Unhurried"
    application["deployments"] = [{"name": "MLLM", "num_replicas": num_replicas}]
    application["runtime_env"] = {"env_vars": {"PYTHONPATH": str(ROOT)}}
    serve.start(proxy_location="Disabled")
    _get_global_client().deploy_apps(ServeDeploySchema.model_validate(config))
    wait_for(lambda: num_running() == num_replicas)


def num_running() -> int:
    """Replicas that answer, once none is on its way in or out; else -1."""
    from ray import serve

    application = serve.status().applications.get("mllm")
    if application is None or application.status != "RUNNING":
        return -1
    states = application.deployments["MLLM"].replica_states
    return states.get("RUNNING", 0) if set(states) <= {"RUNNING"} else -1


def wait_for(condition: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def driver(pools: Pools, storage: Path, checkpoint_every: int) -> subprocess.Popen[str]:
    recipe = storage.with_suffix(".toml")
    recipe.write_text("".join((ROOT / file).read_text() for file in RECIPE))
    places = [f"storage={storage}", f"scale.vae.checkpoint_every_steps={checkpoint_every}"]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.end_to_end.pools_driver", recipe, *SMALL, *places],
        cwd=ROOT,
        env=os.environ | {"RAY_ADDRESS": pools.address},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def step(storage: Path) -> int:
    """Of the last checkpoint that Ray Train has committed; 0 before the first."""
    for snapshot in storage.glob("demo/training/train_vae/*/checkpoint_manager_snapshot.json"):
        latest = json.loads(snapshot.read_text())["latest_checkpoint_result"]
        return latest["metrics"]["step"] if latest else 0
    return 0


@dataclass
class Finished:
    storage: Path
    output: str = ""
    trainers: list[str] = field(default_factory=list)
    """The pool of each Ray Train worker, as seen while they trained."""
    replicas: list[str] = field(default_factory=list)
    """The pool of each of the most replicas that there were."""
    trained: list[tuple[int, int]] = field(default_factory=list)
    """The step before and after each change of the number of replicas."""

    @property
    def run(self) -> Run:
        return Run(open_store(Storage(str(self.storage))), "demo")


@pytest.fixture(scope="module")
def undisturbed(pools: Pools, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    deploy(2)
    finished = Finished(tmp_path_factory.mktemp("undisturbed") / "runs")
    with driver(pools, finished.storage, checkpoint_every=80) as process:
        finished.output = process.communicate()[0]
    assert process.returncode == 0, finished.output
    return finished


@pytest.fixture(scope="module")
def disturbed(
    pools: Pools, undisturbed: Finished, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """1, 4 and 1 replicas; a trainer's node and a replica's node lost; the driver killed."""
    assert undisturbed.output
    finished = Finished(tmp_path_factory.mktemp("disturbed") / "runs")
    deploy(1)
    with driver(pools, finished.storage, checkpoint_every=2) as process:
        try:
            wait_for(lambda: step(finished.storage) or process.poll() is not None)
            finished.trainers = pools.pools_of("TrainWorker")
            for num_replicas in (4, 1):
                before = step(finished.storage)
                deploy(num_replicas)
                finished.replicas = max(finished.replicas, pools.pools_of("ServeReplica"), key=len)
                wait_for(lambda: step(finished.storage) > before)  # noqa: B023
                finished.trained.append((before, step(finished.storage)))
            for pool in ("mllm", "trainer"):
                pools.kill(pool)
                pools.add(pool)  # as the autoscaler does
            before = step(finished.storage)
            wait_for(lambda: step(finished.storage) > before)
        finally:
            process.kill()
            finished.output = process.communicate()[0]
    assert finished.run.manifest("vae") is None, "it was killed while it trained"
    with driver(pools, finished.storage, checkpoint_every=80) as process:
        finished.output += process.communicate()[0]
    assert process.returncode == 0, finished.output
    return finished


def test_trainers_land_on_trainer_nodes_and_replicas_on_mllm_nodes(disturbed: Finished) -> None:
    assert disturbed.trainers == ["trainer"] * 2
    assert disturbed.replicas == ["mllm"] * 4


def test_replicas_come_and_go_while_training_goes_on(disturbed: Finished) -> None:
    assert len(disturbed.trained) == 2
    assert all(before < after for before, after in disturbed.trained)


def test_what_was_lost_and_killed_on_the_way_changes_no_result(
    undisturbed: Finished, disturbed: Finished
) -> None:
    assert "skip  prepare_data" in disturbed.output
    weights = [
        {file.path: file.sha256 for file in finished.run.finished("vae").files}
        for finished in (undisturbed, disturbed)
    ]
    assert weights[0].pop("metrics.jsonl") != weights[1].pop("metrics.jsonl"), "it holds times"
    assert weights[0] == weights[1]
    assert answers(undisturbed) == answers(disturbed)


def answers(finished: Finished) -> list[dict[str, Any]]:
    """What was answered about each image; not how long it took."""
    table = pq.read_table(finished.run.open("scores") / "scores.parquet")
    timeless = table.drop_columns(["latency_ms", "attempts"])
    return timeless.sort_by([("id", "ascending"), ("attribute", "ascending")]).to_pylist()
