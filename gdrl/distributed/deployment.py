"""The MLLM's Serve deployment: what its file may say, and what becomes of it.

``serve deploy cluster/serve_mllm.yaml`` calls :func:`build`, and so does a job that finds no
deployment (:mod:`gdrl.distributed.serve`).
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from gdrl.config import MLLMRecipe, MLLMScale

OPEN_ENGINE = "gdrl.mllm.open:open_engine"

MAX_QUEUED_REQUESTS = 1024
"""Of one client. Serve refuses bursts above it even while replicas are idle, so it stays far above
any client's own limit (``scale.stream.max_in_flight``) and sheds what no client should send."""

ROUTER = "gdrl.distributed.router:LeastLoaded"

MAX_BACKOFF_SECONDS = 0.05
"""How long a request that found all replicas full waits before it looks again; Serve's own 0.5 s
left replicas idle between batches of half a second."""

DRAIN_SECONDS = 120.0
"""How long a replica that is to go may finish what it began; after Serve's own 20 s, batches of
large models would be thrown away and asked again."""

HEALTH_SECONDS = 120.0
"""How long a replica may take over the question of its health check; Serve's own 30 s would replace
the replicas of a model that is merely slow."""


class DeploymentSettings(BaseModel):
    """The ``args`` of an application in ``cluster/serve_mllm.yaml``."""

    model_config = ConfigDict(extra="forbid")

    mllm: MLLMRecipe = MLLMRecipe()
    scale: MLLMScale = MLLMScale()
    open_engine: str = OPEN_ENGINE


def build(args: DeploymentSettings) -> Any:
    """The Serve application of these settings; ``serve deploy`` calls it too."""
    from gdrl.distributed.replica import MLLM

    scale = args.scale
    return MLLM.options(
        **_replicas(scale),
        max_ongoing_requests=2,  # one in the engine, and one at hand
        max_queued_requests=MAX_QUEUED_REQUESTS,
        request_router_config={
            "request_router_class": ROUTER,
            "max_backoff_s": MAX_BACKOFF_SECONDS,
        },
        max_constructor_retry_count=2,
        health_check_timeout_s=HEALTH_SECONDS,
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=DRAIN_SECONDS,
        ray_actor_options={
            "num_cpus": scale.threads_per_replica,
            "num_gpus": scale.gpus_per_replica,
            "resources": scale.resources_per_replica,
            "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(scale.threads_per_replica)}},
        },
    ).bind(args.mllm, scale.batch_size, scale.threads_per_replica, args.open_engine)


def _replicas(scale: MLLMScale) -> dict[str, Any]:
    if not scale.max_replicas:
        return {"num_replicas": scale.num_replicas}
    return {
        "autoscaling_config": {
            "min_replicas": scale.num_replicas,
            "max_replicas": scale.max_replicas,
            # In the engine: who has more at hand has it waiting.
            "target_ongoing_requests": 1,
        }
    }
