"""Which replica gets a request: of all, the one with the fewest at hand."""

from typing import Any

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

    def initialize_state(self, **kwargs: Any) -> None:  # noqa: ARG002  # there are none
        """Nobody was chosen yet. Serve calls it."""
        self._num_choices = 0
        self._last_choice: dict[ReplicaID, int] = {}

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,  # noqa: ARG002  # Serve passes it by name
    ) -> list[list[RunningReplica]]:
        """The best replica, then all; Serve takes the first of them that has room.

        Turns, because a queue is counted a moment after it was chosen: two requests at once would
        both go to the same idle replica.
        """

        def load(replica: RunningReplica) -> tuple[int, int]:
            queue = self.replica_queue_len_cache.get(replica.replica_id)  # None: long not asked
            return queue or 0, self._last_choice.get(replica.replica_id, -1)

        best = min(candidate_replicas, key=load)
        self._last_choice[best.replica_id] = self._num_choices
        self._num_choices += 1
        return [[best], candidate_replicas]
