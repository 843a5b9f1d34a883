"""A one-slot channel from a worker to the driver: the latest step and its metrics.

Ray Train drops metrics that carry no checkpoint, and reporting them is a barrier over all workers.
A small actor that rank 0 writes and the driver reads costs neither.
"""

from typing import Any

Latest = tuple[int, dict[str, float]]


class Relay:
    """Runs as an actor; keeps only what was said last."""

    def __init__(self) -> None:
        self._latest: Latest | None = None

    def put(self, step: int, metrics: dict[str, float]) -> None:
        """Rank 0: this step was reached with these metrics."""
        self._latest = (step, metrics)

    def latest(self) -> Latest | None:
        """The driver: what was said last, or ``None``."""
        return self._latest


def start_relay() -> Any:
    """Start the actor; it ends when its handle is dropped."""
    import ray

    return ray.remote(num_cpus=0)(Relay).remote()
