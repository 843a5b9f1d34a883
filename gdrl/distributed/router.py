"""Which replica gets a request: of all, the one with the fewest at hand."""

from ray.serve.request_router import FIFOMixin, PendingRequest, RequestRouter, RunningReplica


class LeastLoaded(FIFOMixin, RequestRouter):
    """First come, first served, by whoever has least to do.

    Serve's own router looks at two replicas drawn at random, which spares thousands of clients a
    look at all. Here one stream asks a few replicas for batches that take them a second: a batch
    that waits behind another while a replica is idle costs that whole second.
    """

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,  # noqa: ARG002  # Serve passes it by name
    ) -> list[list[RunningReplica]]:
        """All of them, as one rank: Serve takes the shortest queue of a rank."""
        return [candidate_replicas]
