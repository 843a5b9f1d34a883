"""From the recipe to an engine."""

import os
from pathlib import Path

from gdrl.config import MLLMRecipe
from gdrl.mllm import embedded
from gdrl.mllm.engine import Engine


def open_engine(
    recipe: MLLMRecipe,
    *,
    batch_size: int = 16,
    num_threads: int = 1,
    device: str = "",
    timeout_seconds: float = 60.0,
) -> Engine:
    """The engine that the recipe names; loads its weights or calls its endpoint.

    Args:
        recipe: which model, and where.
        batch_size: pictures per forward pass, or requests at once of an endpoint.
        num_threads: CPU threads of a model in this process.
        device: of a model in this process; empty takes the GPU where there is one.
        timeout_seconds: for one request to an endpoint. Its key is read from ``OPENAI_API_KEY``.

    Raises:
        ConfigError: no such directory, or the endpoint is no URL.
        EndpointError: nothing listens at the endpoint.
    """
    if recipe.endpoint:
        from gdrl.mllm.openai_engine import OpenAIEngine

        return OpenAIEngine(
            recipe.endpoint,
            recipe.model,
            concurrency=batch_size,
            timeout_seconds=timeout_seconds,
            api_key=os.environ.get("OPENAI_API_KEY", ""),
        )
    from gdrl.mllm.transformers_engine import TransformersEngine

    path = embedded.directory() if recipe.is_embedded else Path(recipe.model)
    return TransformersEngine(path, batch_size, num_threads, device, name=recipe.model)
