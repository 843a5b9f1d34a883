"""Serve ignores keys that it does not know; here they are errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from gdrl.distributed.reference import resolve
from gdrl.distributed.serve import SHARED_APP, DeploymentSettings, build
from gdrl.settings import load

FILES = ("cluster/serve_mllm.yaml", "cluster/serve_gpu.yaml")


@pytest.fixture(params=FILES)
def serve_config(root: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    return yaml.safe_load((root / str(request.param)).read_text())


@pytest.fixture
def application(serve_config: dict[str, Any]) -> dict[str, Any]:
    (application,) = serve_config["applications"]
    return application


def unknown_keys(model: type[BaseModel], values: dict[str, Any], at: str = "") -> Iterator[str]:
    """Dotted keys of ``values`` that ``model`` has no field for."""
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None:
            yield f"{at}{key}"
            continue
        inner = _model_in(field.annotation)
        items = value if isinstance(value, list) else [value]
        if inner is not None:
            for item in items:
                if isinstance(item, dict):
                    yield from unknown_keys(inner, item, f"{at}{key}.")


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def test_serve_accepts_the_file(serve_config: dict[str, Any]) -> None:
    ServeDeploySchema.model_validate(serve_config)


def test_every_key_means_something_to_serve(serve_config: dict[str, Any]) -> None:
    assert list(unknown_keys(ServeDeploySchema, serve_config)) == []


def test_a_misspelled_key_is_found(serve_config: dict[str, Any]) -> None:
    serve_config["http_options"]["hots"] = "127.0.0.1"
    serve_config["applications"][0]["deployments"] = [{"name": "MLLM", "num_replica": 2}]
    ServeDeploySchema.model_validate(serve_config)  # Serve itself says nothing
    found = list(unknown_keys(ServeDeploySchema, serve_config))
    assert found == ["http_options.hots", "applications.deployments.num_replica"]


def test_no_port_is_opened_beyond_this_machine(serve_config: dict[str, Any]) -> None:
    assert serve_config["proxy_location"] == "Disabled"
    assert serve_config["http_options"]["host"] == "127.0.0.1"


def test_jobs_find_the_application(application: dict[str, Any]) -> None:
    assert application["name"] == SHARED_APP
    assert resolve(application["import_path"]) is build


def test_its_arguments_are_settings_of_ours(application: dict[str, Any]) -> None:
    DeploymentSettings.model_validate(application["args"])


def test_overrides_name_a_deployment_that_exists(application: dict[str, Any]) -> None:
    for deployment in application.get("deployments", []):
        assert deployment["name"] == "MLLM"


def test_replicas_on_gpus_are_those_of_the_scale_section(
    root: Path, pools: dict[str, dict[str, Any]]
) -> None:
    file = yaml.safe_load((root / "cluster/serve_gpu.yaml").read_text())
    (application,) = file["applications"]
    (deployment,) = application["deployments"]
    scale = DeploymentSettings.model_validate(application["args"]).scale
    # num_replicas apart, which is changed where a change keeps the other replicas: not in args
    assert "num_replicas" not in application["args"]["scale"]
    same = scale.model_copy(update={"num_replicas": deployment["num_replicas"]})
    assert same == load(root / "cluster/scale.toml").scale.mllm
    assert deployment["num_replicas"] <= pools["mllm"]["max_workers"]
    assert set(scale.resources_per_replica) <= set(pools["mllm"]["resources"])
