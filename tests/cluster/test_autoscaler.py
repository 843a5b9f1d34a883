"""What Ray's autoscaler decides from the cluster files: its own code, without a cloud."""

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.aws import config as aws
from ray.autoscaler._private.util import prepare_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil

from gdrl.config import Scale
from gdrl.settings import load


@pytest.fixture
def autoscaling(cluster: dict[str, Any]) -> AutoscalingConfig:
    return AutoscalingConfig(prepare_config(cluster), skip_content_hash=True)


@pytest.fixture
def scale(root: Path) -> Scale:
    return load(root / "cluster/scale.toml").scale


def launched(autoscaling: AutoscalingConfig, *demands: dict[str, float]) -> Counter[str]:
    """Nodes that are started for these actors and tasks, beyond the cluster's minimum."""
    requests = [ResourceRequestUtil.make(demand) for demand in demands]
    reply = ResourceDemandScheduler().schedule(
        SchedulingRequest(
            disable_launch_config_check=True,
            node_type_configs=autoscaling.get_node_type_configs(),
            max_num_nodes=autoscaling.get_max_num_nodes(),
            resource_requests=ResourceRequestUtil.group_by_count(requests),
        )
    )
    nodes = Counter({launch.instance_type: launch.count for launch in reply.to_launch})
    nodes.subtract(head=nodes["head"], cpu=1)
    return +nodes


def _replica(scale: Scale) -> dict[str, float]:
    mllm = scale.mllm
    return {
        "CPU": mllm.threads_per_replica,
        "GPU": mllm.gpus_per_replica,
        **mllm.resources_per_replica,
    }


def _worker(scale: Scale) -> dict[str, float]:
    return {"CPU": scale.vae.threads_per_worker, "GPU": 1, **scale.vae.resources_per_worker}


def test_nothing_with_a_gpu_runs_while_nobody_asks(autoscaling: AutoscalingConfig) -> None:
    assert launched(autoscaling) == Counter()


def test_each_demand_starts_nodes_of_its_own_pool(
    autoscaling: AutoscalingConfig, scale: Scale
) -> None:
    worker, replica = _worker(scale), _replica(scale)
    assert launched(autoscaling, worker, worker) == {"trainer": 2}
    assert launched(autoscaling, replica, replica, replica) == {"mllm": 3}
    assert launched(autoscaling, worker, replica) == {"trainer": 1, "mllm": 1}


def test_reading_images_starts_no_gpu(autoscaling: AutoscalingConfig) -> None:
    assert launched(autoscaling, *[{"CPU": 1.0}] * 8) == {"cpu": 1}


def test_neither_pool_grows_past_its_bound_or_into_the_other(
    autoscaling: AutoscalingConfig, scale: Scale
) -> None:
    demands = [_replica(scale)] * 20 + [_worker(scale)] * 20
    assert launched(autoscaling, *demands) == {"mllm": 8, "trainer": 4}


def test_every_node_starts_from_the_image_of_its_pool(
    autoscaling: AutoscalingConfig, pools: dict[str, dict[str, Any]]
) -> None:
    """Ray 2.60 fails here, on the head and out of sight, where `docker.image` is not given."""
    for name in pools:
        image = autoscaling.get_docker_config(name)["image"]
        assert ("gdrl-mllm:" if name == "mllm" else "gdrl-trainer:") in image


def test_every_node_gets_its_labels_and_start_command(
    autoscaling: AutoscalingConfig, pools: dict[str, dict[str, Any]]
) -> None:
    for name, pool in pools.items():
        assert autoscaling.get_node_labels(name) == pool["labels"]
        assert autoscaling.get_node_resources(name) == pool["resources"]
        assert autoscaling.get_worker_setup_commands(name) == []
        commands = autoscaling.get_initialization_commands(name)
        assert any("docker" in command for command in commands), "or no image can be pulled"


def test_on_aws_ray_makes_no_role_and_no_security_group(root: Path) -> None:
    """Both steps call AWS unless the file names what to use."""
    config = prepare_config(yaml.safe_load((root / "ray_cluster.yaml").read_text()))
    config["head_node"] = {}
    assert aws._configure_iam_role(copy.deepcopy(config)) == config
    assert aws._configure_security_group(copy.deepcopy(config)) == config
