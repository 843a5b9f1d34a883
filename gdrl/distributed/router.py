"""Which replica gets a request: of all, the one with the fewest at hand."""

import time
from typing import ClassVar

from ray.serve.request_router import (
    FIFOMixin,
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)


class LeastLoaded(FIFOMixin, RequestRouter):
    """First come, first served, by whoever has least to do; among equals, by turns.

    Serve's own router looks at two replicas drawn at random, which spares thousands of clients a
    look at all. Here one stream asks a few replicas for batches that take them a second: a batch
    that waits behind another while a replica is idle costs that whole second.
    """

    _chosen: ClassVar[dict[ReplicaID, float]] = {}
    """When this process chose each replica last. Not made in a method: Serve pickles this class by
    value, and the tests' shape checker wraps methods that are not ``async`` in what cannot be."""

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,  # noqa: ARG002  # Serve passes it by name
    ) -> list[list[RunningReplica]]:
        """The best replica, then all; Serve takes the first of them that has room.

        Turns, because a queue is counted a moment after it was chosen: two requests at once would
        both go to the same idle replica. A queue that is not known was not asked for 10 s.
        """
        queue, chosen = self.replica_queue_len_cache.get, self._chosen
        best = min(
            candidate_replicas,
            key=lambda replica: (
                queue(replica.replica_id) or 0,
                chosen.get(replica.replica_id, 0.0),
            ),
        )
        chosen[best.replica_id] = time.monotonic()
        return [[best], candidate_replicas]
