"""The dashboard shows only what Ray exports, at prices for every pool."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.prom_metrics import AutoscalerPrometheusMetrics

from gdrl.settings import load

# Where Ray 2.60 names the metrics of its parts, each by a literal.
SOURCES = (
    "autoscaler/_private",
    "dashboard/modules/reporter",
    "data/_internal",
    "serve/_private",
    "train/v2/_internal/metrics",
)


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    return json.loads((root / "cluster/grafana/gdrl.json").read_text())


@pytest.fixture(scope="module")
def expressions(dashboard: dict[str, Any]) -> list[str]:
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [target["expr"] for target in targets]


def metrics_in(expression: str) -> set[str]:
    """Names of series; what stands in braces or after ``by`` are labels."""
    bare = re.sub(r"{[^}]*}| by \([^)]*\)", "", expression)
    return set(re.findall(r"\b(?:ray|autoscaler)_\w+", bare))


@pytest.fixture(scope="module")
def named_in_ray() -> set[str]:
    files = [path for part in SOURCES for path in (Path(ray.__file__).parent / part).rglob("*.py")]
    return {name for path in files for name in re.findall(r"[\"'](\w+)[\"']", path.read_text())}


def test_every_metric_is_one_that_ray_exports(
    expressions: list[str], named_in_ray: set[str]
) -> None:
    autoscaler = {
        f"autoscaler_{metric.name.removeprefix('autoscaler_')}"
        for metric in AutoscalerPrometheusMetrics(session_name="x").registry.collect()
    }
    shown = set().union(*map(metrics_in, expressions))
    assert len(shown) >= 15
    for metric in shown:
        name = re.sub(r"^ray_|_(total|bucket)$", "", metric)
        assert metric in autoscaler or {name, f"ray_{name}"} & named_in_ray, metric


def test_a_metric_that_ray_does_not_have_is_found(named_in_ray: set[str]) -> None:
    assert metrics_in('sum(rate(ray_serve_answers_total{a="b"}[5m])) by (ray_c)') == {
        "ray_serve_answers_total"
    }
    assert "serve_answers" not in named_in_ray


def test_it_covers_cost_training_streaming_and_serving(dashboard: dict[str, Any]) -> None:
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Cost", "Training", "Streaming", "Serving"]


def test_every_pool_has_a_price(
    dashboard: dict[str, Any], expressions: list[str], root: Path
) -> None:
    pools = yaml.safe_load((root / "ray_cluster.yaml").read_text())["available_node_types"]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "batch"} | {f"price_{pool}" for pool in pools}
    (cost,) = [expression for expression in expressions if "/ 3.6 /" in expression]
    for pool in pools:
        assert (
            f'autoscaler_active_nodes{{NodeType="{pool}"}}) or vector(0)) * $price_{pool}' in cost
        )


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_a_request_counts_as_a_batch_of_images(dashboard: dict[str, Any], root: Path) -> None:
    (batch,) = [v for v in dashboard["templating"]["list"] if v["name"] == "batch"]
    scale = load(root / "cluster/scale.toml").scale.mllm
    assert int(batch["query"]) == scale.batch_size
