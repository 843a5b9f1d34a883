"""The policies: no wildcard action, and nothing that the cluster file does not need."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

# What AWS cannot restrict to a resource.
UNRESTRICTABLE = {"ecr:GetAuthorizationToken", "ec2:DescribeInstances", "ec2:DescribeInstanceTypes"}


def _statements(root: Path, role: str) -> list[dict[str, Any]]:
    policy = json.loads((root / f"cluster/iam/{role}.json").read_text())
    assert policy["Version"] == "2012-10-17"
    return policy["Statement"]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


@pytest.fixture
def aws(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "ray_cluster.yaml").read_text())


@pytest.fixture
def bucket(aws: dict[str, Any]) -> str:
    """The bucket's ARN, by the name that the cluster file gives it."""
    (name,) = set(re.findall(r"s3://([^/ ]+)", aws["metadata"]["weights"]))
    return f"arn:aws:s3:::{name}"


@pytest.mark.parametrize("role", ["head", "node"])
def test_no_action_and_no_resource_is_everything(root: Path, role: str) -> None:
    for statement in _statements(root, role):
        assert statement["Effect"] == "Allow"
        actions = set(_listed(statement["Action"]))
        assert not any("*" in action for action in actions)
        if "*" in _listed(statement["Resource"]):
            assert actions <= UNRESTRICTABLE


def _bucket(root: Path, role: str) -> dict[str, set[str]]:
    """What a role may do in the bucket, and to what."""
    granted: dict[str, set[str]] = {}
    for statement in _statements(root, role):
        for action in _listed(statement["Action"]):
            if action.startswith("s3:"):
                granted.setdefault(action, set()).update(_listed(statement["Resource"]))
    return granted


def test_nodes_read_images_and_the_bucket_and_nothing_else(root: Path) -> None:
    actions = {a for each in _statements(root, "node") for a in _listed(each["Action"])}
    assert {action.partition(":")[0] for action in actions} == {"ecr", "s3"}
    images = {action for action in actions if action.startswith("ecr:")}
    assert not any(verb in action for action in images for verb in ("Put", "Delete", "Create"))


def test_only_runs_are_written_and_deleted(root: Path, bucket: str) -> None:
    granted = _bucket(root, "node")
    assert granted == _bucket(root, "head")
    runs, given = f"{bucket}/runs/*", {f"{bucket}/models/*", f"{bucket}/photographs/*"}
    for action in ("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"):
        assert granted.pop(action) == {runs}
    assert granted == {"s3:GetObject": {runs} | given, "s3:ListBucket": {bucket}}


def test_what_is_missing_is_said_to_be_missing(root: Path) -> None:
    """Under a condition on the prefix, S3 answers 403 and not 404 to a GET of what is not there."""
    for role in ("head", "node"):
        (listing,) = [s for s in _statements(root, role) if s["Action"] == "s3:ListBucket"]
        assert "Condition" not in listing


def test_the_bucket_answers_nobody_in_clear(root: Path, bucket: str) -> None:
    (statement,) = _statements(root, "bucket")
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "s3:*",
    )
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(statement["Resource"]) == {bucket, f"{bucket}/*"}


def test_half_uploads_do_not_bill_for_ever(root: Path) -> None:
    (rule,) = json.loads((root / "cluster/iam/lifecycle.json").read_text())["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] >= 1
    assert "Expiration" not in rule, "a run whose checkpoint is gone cannot be resumed"


def test_the_head_starts_the_types_of_the_pools_under_the_clusters_name(
    root: Path, aws: dict[str, Any]
) -> None:
    pools = aws["available_node_types"]
    wanted = {pool["node_config"]["InstanceType"] for name, pool in pools.items() if name != "head"}
    (start,) = [each for each in _statements(root, "head") if each["Sid"].startswith("StartNodes")]
    conditions = start["Condition"]["StringEquals"]
    assert set(conditions["ec2:InstanceType"]) == wanted
    assert conditions["aws:RequestTag/ray-cluster-name"] == aws["cluster_name"]


def test_the_head_ends_no_machines_but_its_own(root: Path, aws: dict[str, Any]) -> None:
    ending = [s for s in _statements(root, "head") if "ec2:TerminateInstances" in s["Action"]]
    tags = [s["Condition"]["StringEquals"]["aws:ResourceTag/ray-cluster-name"] for s in ending]
    assert tags == [aws["cluster_name"]]


def test_the_head_hands_on_the_nodes_role_alone(root: Path) -> None:
    (passing,) = [s for s in _statements(root, "head") if "iam:PassRole" in _listed(s["Action"])]
    assert passing["Resource"].endswith(":role/gdrl-node")


def test_only_machines_may_take_the_roles(root: Path) -> None:
    (statement,) = _statements(root, "trust")
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
