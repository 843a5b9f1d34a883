import threading
from pathlib import Path

import pytest
import yaml

from gdrl.config import MLLMRecipe, MLLMScale
from gdrl.distributed.serve import SHARED_APP, DeploymentSettings, Serving, build, serving
from gdrl.errors import ConfigError, EndpointError
from gdrl.mllm.questions import score_query
from tests.distributed.engines import known, level_of

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
        with serving(MLLMRecipe(), MLLMScale(), open_engine=f"{ENGINES}:steady") as mllm:
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
    settings = DeploymentSettings(open_engine=f"{ENGINES}:steady")
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


def test_an_endpoint_needs_no_cluster():
    recipe = MLLMRecipe(model="llava", endpoint="http://localhost:1/v1")
    with serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:steady") as mllm:
        assert (mllm.app, mllm.model) == ("", "llava")
        assert mllm.answer(QUERIES[:1]) == [known(QUERIES[0])]


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
