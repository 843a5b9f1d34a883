"""Serve ignores keys that it does not know; here they are errors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel, ConfigDict
from ray.llm._internal.serve.core.configs.llm_config import LLMConfig
from ray.serve.schema import DeploymentSchema, ServeDeploySchema

from gdrl.distributed.deployment import DeploymentSettings, build
from gdrl.distributed.reference import resolve
from gdrl.distributed.serve import SHARED_APP
from gdrl.mllm.completions import LOGPROBS
from gdrl.mllm.questions import naming_query
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
    # Their number apart, which is changed where a change keeps the other replicas: not in args.
    assert not {"num_replicas", "max_replicas"} & set(application["args"]["scale"])
    bounds = deployment["autoscaling_config"]
    number = {"num_replicas": bounds["min_replicas"], "max_replicas": bounds["max_replicas"]}
    assert scale.model_copy(update=number) == load(root / "cluster/scale.toml").scale.mllm
    assert bounds["max_replicas"] <= pools["mllm"]["max_workers"]
    started = build(DeploymentSettings(scale=scale.model_copy(update=number)))._bound_deployment
    own = started._deployment_config.autoscaling_config
    assert bounds == {name: getattr(own, name) for name in bounds}, "as a job starts it itself"
    assert set(scale.resources_per_replica) <= set(pools["mllm"]["resources"])


# --- Ray Serve LLM: an application that is not ours ----------------------------------------------


class VLLMArguments(BaseModel):
    """``args`` of :func:`ray.serve.llm.build_openai_app`, whose own class needs vLLM to be read."""

    model_config = ConfigDict(extra="forbid")

    llm_configs: list[LLMConfig]
    ingress_deployment_config: dict[str, Any]


@pytest.fixture
def vllm(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "cluster/serve_vllm.yaml").read_text())


def test_rays_llm_settings_accept_the_vllm_file(vllm: dict[str, Any]) -> None:
    assert unknown_in_vllm(vllm) == []
    (application,) = vllm["applications"]
    assert application["import_path"] == "ray.serve.llm:build_openai_app"
    (model,) = VLLMArguments.model_validate(application["args"]).llm_configs
    scaling = model.deployment_config["autoscaling_config"]
    assert scaling["target_ongoing_requests"] < model.deployment_config["max_ongoing_requests"]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("http_options", "hots"),
        ("deployment_config", "max_ongoing_reqs"),
        ("autoscaling_config", "max_replica"),
        ("ray_actor_options", "num_gpu"),
        ("engine_kwargs", "max_model_length"),
        ("ingress_deployment_config", "num_replica"),
    ],
)
def test_a_misspelled_key_of_the_vllm_file_is_found(
    vllm: dict[str, Any], section: str, key: str
) -> None:
    arguments = vllm["applications"][0]["args"]
    (model,) = arguments["llm_configs"]
    sections = {
        "http_options": vllm["http_options"],
        "engine_kwargs": model["engine_kwargs"],
        "deployment_config": model["deployment_config"],
        "autoscaling_config": model["deployment_config"]["autoscaling_config"],
        "ray_actor_options": model["deployment_config"]["ray_actor_options"],
        "ingress_deployment_config": arguments["ingress_deployment_config"],
    }
    sections[section][key] = 1
    assert [found.rpartition(".")[2] for found in unknown_in_vllm(vllm)] == [key]


def unknown_in_vllm(config: dict[str, Any]) -> list[str]:
    """Keys of the file that neither Serve, nor Serve LLM, nor vLLM has a name for."""
    found = list(unknown_keys(ServeDeploySchema, config))
    arguments = VLLMArguments.model_validate(config["applications"][0]["args"])
    found += unknown_keys(DeploymentSchema, arguments.ingress_deployment_config)
    for model in arguments.llm_configs:
        found += unknown_keys(DeploymentSchema, model.deployment_config)
        found += sorted(set(model.engine_kwargs) - VLLM_ENGINE_SETTINGS)
    return found


VLLM_ENGINE_SETTINGS = {
    "enable_prefix_caching",
    "gpu_memory_utilization",
    "limit_mm_per_prompt",
    "max_logprobs",
    "max_model_len",
    "tensor_parallel_size",
}
"""Those of ``vllm.engine.arg_utils.EngineArgs`` that the file may use; vLLM cannot be imported."""


def test_vllm_listens_on_this_machine_alone(vllm: dict[str, Any]) -> None:
    assert vllm["http_options"]["host"] == "127.0.0.1"


def test_the_vllm_file_offers_what_the_engine_asks_for(vllm: dict[str, Any]) -> None:
    (model,) = vllm["applications"][0]["args"]["llm_configs"]
    assert model["engine_kwargs"]["max_logprobs"] >= LOGPROBS["top_logprobs"]
    shown = len(naming_query([b"first", b"last"], ["hat"]).images)
    assert model["engine_kwargs"]["limit_mm_per_prompt"]["image"] >= shown


def test_the_vllm_file_says_that_it_never_ran(root: Path) -> None:
    assert "Never run" in (root / "cluster/serve_vllm.yaml").read_text()


def test_replicas_of_vllm_are_the_mllm_pools(
    vllm: dict[str, Any], pools: dict[str, dict[str, Any]]
) -> None:
    (model,) = vllm["applications"][0]["args"]["llm_configs"]
    options = model["deployment_config"]
    assert set(options["ray_actor_options"]["resources"]) <= set(pools["mllm"]["resources"])
    assert options["autoscaling_config"]["max_replicas"] <= pools["mllm"]["max_workers"]
