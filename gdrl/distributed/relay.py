"""A channel from a worker to the driver: steps and their metrics.

Ray Train drops metrics that carry no checkpoint, and reporting them is a barrier over all workers.
A small actor that rank 0 writes and the driver reads costs neither.
"""

from collections import deque
from typing import Any

from gdrl.distributed.remote import this_node

Row = tuple[int, dict[str, float]]

MOST_ROWS = 10_000
"""Kept for a driver that does not come; the oldest go first."""


class Relay:
    """Runs as an actor; keeps what was said until it is taken."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque(maxlen=MOST_ROWS)

    def put(self, step: int, metrics: dict[str, float]) -> None:
        """Rank 0: this step was reached with these metrics."""
        self._rows.append((step, metrics))

    def take(self) -> list[Row]:
        """The driver: what was said since it last asked."""
        rows = list(self._rows)
        self._rows.clear()
        return rows


def start_relay() -> Any:
    """Start the actor on the driver's node; it ends when its handle is dropped.

    Ray puts an actor that needs nothing on any node, and a training would end with that one.
    """
    import ray

    return ray.remote(num_cpus=0, label_selector=this_node())(Relay).remote()
