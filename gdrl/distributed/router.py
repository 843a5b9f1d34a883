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

COUNTED_AFTER_SECONDS = 0.02
"""How long a queue may be counted too short after a request was sent to it."""


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
        pending_request: PendingRequest | None = None,
    ) -> list[list[RunningReplica]]:
        """The best replica, then all; Serve takes the first of them that has room.

        A queue is counted a moment after its replica was chosen, so a choice counts as one more
        for that moment: two requests at once would both go to the only idle replica.
        """
        if pending_request is not None:
            # Where all are full it waits a moment then: without this it looks again at once, and
            # asks each replica, which took half a core of the client and half of the replica's.
            pending_request.routing_context.should_backoff = True
        now, ids = time.monotonic(), [replica.replica_id for replica in candidate_replicas]
        last = [self._chosen.get(id_, 0.0) for id_ in ids]
        known = [self.replica_queue_len_cache.get(id_) or 0 for id_ in ids]  # None: long not asked
        load = [
            queue + (now - at < COUNTED_AFTER_SECONDS)
            for queue, at in zip(known, last, strict=True)
        ]
        _, _, best = min(zip(load, last, range(len(ids)), strict=True))
        self._chosen[ids[best]] = now
        return [[candidate_replicas[best]], candidate_replicas]
