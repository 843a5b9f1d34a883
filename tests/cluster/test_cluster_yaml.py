"""The cluster files by Ray's own checks, which need no network, and by the rules of this house."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

Cluster = dict[str, Any]
Pools = dict[str, dict[str, Any]]


def test_ray_accepts_the_file(cluster: Cluster) -> None:
    validate_config(prepare_config(copy.deepcopy(cluster)))


def test_ray_refuses_a_key_that_it_does_not_know(cluster: Cluster) -> None:
    cluster["available_node_types"]["mllm"]["max_worker"] = 3
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(cluster))


def test_nothing_is_left_to_rays_defaults(cluster: Cluster) -> None:
    prepared = prepare_config(copy.deepcopy(cluster))
    assert prepared == cluster


def test_no_setup_command_installs_anything(cluster: Cluster) -> None:
    for kind in ("setup_commands", "head_setup_commands", "worker_setup_commands"):
        assert cluster[kind] == [], kind


def test_the_start_commands_ask_for_the_token_and_keep_the_dashboard_home(cluster: Cluster) -> None:
    head, worker = (cluster[f"{kind}_start_ray_commands"] for kind in ("head", "worker"))
    assert head[0] == worker[0] == "ray stop"
    assert "--dashboard-host=127.0.0.1" in head[1]
    for command in (head[1], worker[1]):
        assert "export RAY_AUTH_MODE=token;" in command
        assert "--no-auth" not in command
    assert cluster["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


def test_each_pool_has_bounds_of_its_own(cluster: Cluster, pools: Pools) -> None:
    assert set(pools) == {"head", "cpu", "trainer", "mllm"}
    for name, pool in pools.items():
        assert 0 <= pool["min_workers"] <= pool["max_workers"], name
    assert pools["head"]["max_workers"] == 0
    assert pools["cpu"]["min_workers"] >= 1
    assert cluster["max_workers"] == sum(pool["max_workers"] for pool in pools.values())


def test_no_pool_can_take_another_pools_slots(pools: Pools) -> None:
    owners = {"trainer_slot": "trainer", "mllm_slot": "mllm"}
    for slot, owner in owners.items():
        assert [name for name, pool in pools.items() if slot in pool["resources"]] == [owner]
        assert pools[owner]["resources"][slot] == pools[owner]["resources"]["GPU"]
    assert pools["head"]["resources"] == {"CPU": 0}


def test_labels_tell_the_pools_apart_and_only_mllm_nodes_are_hidden_from_train(
    pools: Pools,
) -> None:
    for name, pool in pools.items():
        hidden = {"ray-subcluster": "mllm"} if name == "mllm" else {}
        assert pool["labels"] == {"pool": name} | hidden


def test_only_the_mllm_pool_runs_its_own_image(cluster: Cluster, pools: Pools) -> None:
    assert {name for name, pool in pools.items() if "docker" in pool} == {"mllm"}
    assert "gdrl-trainer:" in cluster["docker"]["image"]
    assert "gdrl-mllm:" in pools["mllm"]["docker"]["worker_image"]


def test_gpu_pools_wait_longer_than_a_boot_before_they_shrink(pools: Pools) -> None:
    for name in ("trainer", "mllm"):
        assert pools[name]["idle_timeout_s"] >= 900


def test_only_the_mllm_pool_is_on_spot(pools: Pools) -> None:
    spot = {name for name, pool in pools.items() if "spot" in str(pool["node_config"]).lower()}
    assert spot == {"mllm"}


def test_every_node_says_who_it_is_and_where(cluster: Cluster, pools: Pools) -> None:
    """Without these, Ray makes a role with full access and a group that is open to everybody."""
    aws = ("IamInstanceProfile", "SecurityGroupIds", "SubnetIds", "ImageId", "MetadataOptions")
    gcp = ("serviceAccounts", "networkInterfaces", "disks")
    for pool in pools.values():
        for key in aws if cluster["provider"]["type"] == "aws" else gcp:
            assert pool["node_config"][key], key


def test_the_head_alone_may_start_nodes(cluster: Cluster, pools: Pools) -> None:
    key = "IamInstanceProfile" if cluster["provider"]["type"] == "aws" else "serviceAccounts"
    identities = {name: str(pool["node_config"][key]) for name, pool in pools.items()}
    assert "gdrl-head" in identities.pop("head")
    assert all("gdrl-node" in identity for identity in identities.values())


def test_what_a_person_must_change_is_at_the_top(cluster_file: Path) -> None:
    top, rest = cluster_file.read_text().split("\ncluster_name:")
    rest = re.sub(r"\n(provider|  (type|region|availability_zone|project_id)):.*", "", rest)
    for placeholder in ("123456789012", "my-project", "us-west", "00000000", "10.0.0."):
        assert placeholder not in rest
    assert all(f"\n#   {number}. " in top and f"\n  # {number}." in top for number in (1, 2, 3))


def test_on_aws_nothing_is_mounted_and_files_lie_on_the_nodes_own_disk(root: Path) -> None:
    text = (root / "ray_cluster.yaml").read_text()
    cluster = yaml.safe_load(text)
    assert "nfs" not in text
    assert "sudo mount" not in text
    assert "--volume /opt/dlami/nvme/gdrl:/mnt/gdrl" in cluster["docker"]["run_options"]
    region = cluster["provider"]["region"]
    assert f"--env AWS_DEFAULT_REGION={region}" in cluster["docker"]["run_options"]


def test_only_mllm_nodes_fetch_weights_and_before_they_start(root: Path) -> None:
    cluster = yaml.safe_load((root / "ray_cluster.yaml").read_text())
    shared = cluster["initialization_commands"]
    assert not any("s3 sync" in command for command in shared)
    own = {
        name: pool["initialization_commands"]
        for name, pool in cluster["available_node_types"].items()
        if "initialization_commands" in pool
    }
    (commands,) = own.values()
    assert list(own) == ["mllm"]
    assert set(shared) < set(commands), "given for a pool, they replace those of the cluster"
    (sync,) = [command for command in commands if command not in shared]
    assert sync.startswith("aws s3 sync")
    assert sync.endswith("/opt/dlami/nvme/gdrl/models")


def test_both_clouds_have_the_same_pools(root: Path) -> None:
    def shape(path: Path) -> Any:
        cluster = yaml.safe_load(path.read_text())
        pools = cluster.pop("available_node_types")
        own = ("node_config", "docker", "initialization_commands")
        return (
            {name: {k: v for k, v in pool.items() if k not in own} for name, pool in pools.items()},
            {key: cluster[key] for key in cluster if key.endswith("_ray_commands")},
        )

    assert shape(root / "ray_cluster.yaml") == shape(root / "cluster/gcp.yaml")


@pytest.mark.parametrize("pattern", ["ray_cluster.yaml", "cluster/**/*", "docs/cluster.md"])
def test_nothing_listens_on_all_interfaces(root: Path, pattern: str) -> None:
    files = [path for path in root.glob(pattern) if path.is_file()]
    assert files
    for path in files:
        text = path.read_text()
        assert "0.0.0.0" not in text, path
        assert "::/0" not in text, path
        assert "ray stop --force" not in text, path
