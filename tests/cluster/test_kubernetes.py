"""The manifests against a schema that is closed everywhere, and against the other cluster files."""

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from ray.serve.schema import ServeDeploySchema

Manifest = dict[str, Any]
FOLDER = "cluster/kubernetes"
FILES = ("access.yaml", "raycluster.yaml", "rayjob.yaml", "rayservice.yaml")


@pytest.fixture(scope="module")
def schema(root: Path) -> Draft202012Validator:
    schema = json.loads((root / "tests/cluster/kubernetes_schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture
def manifests(root: Path) -> dict[str, list[Manifest]]:
    folder = root / FOLDER
    assert {path.name for path in folder.iterdir()} == set(FILES)
    return {name: list(yaml.safe_load_all((folder / name).read_text())) for name in FILES}


@pytest.fixture
def raycluster(manifests: dict[str, list[Manifest]]) -> Manifest:
    return manifests["raycluster.yaml"][0]["spec"]


@pytest.fixture
def rayservice(manifests: dict[str, list[Manifest]]) -> Manifest:
    return manifests["rayservice.yaml"][0]["spec"]


@pytest.fixture
def aws(root: Path) -> Manifest:
    return yaml.safe_load((root / "ray_cluster.yaml").read_text())


def groups_of(spec: Manifest) -> dict[str, Manifest]:
    """Every group of pods by its pool, the head's too."""
    workers = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    return {"head": spec["headGroupSpec"]} | workers


def pods_of(manifests: dict[str, list[Manifest]]) -> Iterator[Manifest]:
    specs = (
        manifests["raycluster.yaml"][0]["spec"],
        manifests["rayservice.yaml"][0]["spec"]["rayClusterConfig"],
    )
    for spec in specs:
        yield from (group["template"] for group in groups_of(spec).values())


def containers_of(pod: Manifest) -> list[Manifest]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def test_every_manifest_has_the_fields_of_its_kind_and_no_others(
    schema: Draft202012Validator, manifests: dict[str, list[Manifest]]
) -> None:
    for name, documents in manifests.items():
        for document in documents:
            assert [error.message for error in schema.iter_errors(document)] == [], name


@pytest.mark.parametrize(
    ("at", "key", "value"),
    [
        (("spec",), "enableInTreeAutoscalling", True),
        (("spec", "authOptions"), "mode", "tokens"),
        (("spec", "workerGroupSpecs", 1), "maxReplica", 3),
        (("spec", "workerGroupSpecs", 1, "resources"), "trainer_slot", 1),
        (("spec", "headGroupSpec", "template", "spec", "containers", 0), "imagePullpolicy", "x"),
    ],
    ids=["cluster", "enumeration", "group", "type", "container"],
)
def test_a_misspelt_field_is_found(
    schema: Draft202012Validator,
    manifests: dict[str, list[Manifest]],
    at: tuple[str | int, ...],
    key: str,
    value: object,
) -> None:
    broken = inner = copy.deepcopy(manifests["raycluster.yaml"][0])
    for step in at:
        inner = inner[step]
    inner[key] = value
    assert not schema.is_valid(broken)


def test_the_pools_are_those_of_ray_up(raycluster: Manifest, aws: Manifest) -> None:
    groups, pools = groups_of(raycluster), aws["available_node_types"]
    assert set(groups) == set(pools)
    for name, pool in pools.items():
        group = groups[name]
        assert group["labels"] == pool["labels"]
        assert group["resources"] == {key: str(n) for key, n in pool["resources"].items()}
        assert group.get("idleTimeoutSeconds") == pool.get("idle_timeout_s")
        if name != "head":
            bounds = (group["minReplicas"], group["maxReplicas"])
            assert bounds == (pool["min_workers"], pool["max_workers"])
            assert group["replicas"] == group["minReplicas"]
    assert raycluster["autoscalerOptions"]["idleTimeoutSeconds"] == aws["idle_timeout_minutes"] * 60


def test_a_pod_asks_for_the_gpus_that_its_group_offers(
    raycluster: Manifest, rayservice: Manifest
) -> None:
    for spec in (raycluster, rayservice["rayClusterConfig"]):
        for group in groups_of(spec).values():
            (container,) = group["template"]["spec"]["containers"]
            limits = container["resources"]["limits"]
            assert limits.get("nvidia.com/gpu", 0) == int(group["resources"].get("GPU", 0))


def test_images_and_version_are_those_of_ray_up(
    raycluster: Manifest, aws: Manifest, root: Path
) -> None:
    metadata = aws["metadata"]
    for name, group in groups_of(raycluster).items():
        (container,) = group["template"]["spec"]["containers"]
        wanted = "mllm_image" if name == "mllm" else "trainer_image"
        assert container["image"] == metadata[wanted]
        assert container["image"].endswith(f":{raycluster['rayVersion']}")
    assert f"ray=={raycluster['rayVersion']}" in (root / "cluster/constraints.txt").read_text()


def test_weights_come_from_the_bucket_of_ray_up(
    manifests: dict[str, list[Manifest]], aws: Manifest
) -> None:
    (bucket,) = re.findall(r"s3://\S+/models", aws["metadata"]["weights"])
    fetching = [
        container
        for pod in pods_of(manifests)
        for container in pod["spec"].get("initContainers", [])
    ]
    assert len(fetching) == 2
    for container in fetching:
        assert container["image"] == aws["metadata"]["trainer_image"], "it has pyarrow"
        code = container["command"][-1]
        compile(code, "weights", "exec")
        assert f'"{bucket}"' in code
        assert container["volumeMounts"][0]["mountPath"] == "/mnt/gdrl"


def test_no_pod_has_more_rights_than_it_needs(manifests: dict[str, list[Manifest]]) -> None:
    accounts = {each["metadata"]["name"] for each in manifests["access.yaml"]} - {"gdrl"}
    for pod in pods_of(manifests):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 1000
        assert spec["serviceAccountName"] in accounts
        is_head = spec["serviceAccountName"] == "gdrl-head"
        assert spec.get("automountServiceAccountToken", True) is is_head, "the autoscaler is there"
        for container in containers_of(pod):
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_network_policy_covers_every_pod_and_lets_in_ours_and_the_operator(
    manifests: dict[str, list[Manifest]],
) -> None:
    policy = manifests["access.yaml"][-1]["spec"]
    ours = policy["podSelector"]
    assert all(pod["metadata"]["labels"] == ours["matchLabels"] for pod in pods_of(manifests))
    (rule,) = policy["ingress"]
    own, operator = rule["from"]
    assert own == {"podSelector": ours}
    assert operator["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "kuberay-operator"}


def test_every_cluster_asks_for_a_token(raycluster: Manifest, rayservice: Manifest) -> None:
    for spec in (raycluster, rayservice["rayClusterConfig"]):
        assert spec["authOptions"] == {"mode": "token"}


def test_a_job_finds_the_cluster_and_runs_what_is_in_its_image(
    manifests: dict[str, list[Manifest]], root: Path
) -> None:
    job = manifests["rayjob.yaml"][0]["spec"]
    cluster = manifests["raycluster.yaml"][0]["metadata"]["name"]
    assert job["clusterSelector"] == {"ray.io/cluster": cluster}
    dockerfile = (root / "cluster/Dockerfile.trainer").read_text()
    for file in re.findall(r"(?:jobs|cluster)/[\w./]+", job["entrypoint"]):
        assert (root / file).is_file()
        assert f"COPY {file.partition('/')[0]}" in dockerfile
    environment = yaml.safe_load(job["runtimeEnvYAML"])
    submitted = yaml.safe_load((root / "cluster/runtime_env.yaml").read_text())
    assert environment == {"env_vars": submitted["env_vars"]}


def test_the_service_is_that_of_serve_vllm_less_its_address(
    rayservice: Manifest, root: Path
) -> None:
    config = yaml.safe_load(rayservice["serveConfigV2"])
    file = (root / "cluster/serve_vllm.yaml").read_text()
    assert config["applications"] == yaml.safe_load(file)["applications"]
    ServeDeploySchema.model_validate(config)
    groups = groups_of(rayservice["rayClusterConfig"])
    bounds = config["applications"][0]["args"]["llm_configs"][0]["deployment_config"]
    assert groups["mllm"]["maxReplicas"] == bounds["autoscaling_config"]["max_replicas"]
    for group in groups.values():
        assert group["template"]["spec"]["containers"][0]["image"] in file


def test_every_file_says_whether_it_was_tried(root: Path) -> None:
    assert "no Kubernetes has seen it" in (root / FOLDER / "raycluster.yaml").read_text()
    assert "Never run" in (root / FOLDER / "rayservice.yaml").read_text()
