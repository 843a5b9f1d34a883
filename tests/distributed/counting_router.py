"""A router that counts, in the process that asks, how often it looks for a replica."""

from gdrl.distributed.router import LeastLoaded

LOOKS: list[None] = []


class Counting(LeastLoaded):
    async def choose_replicas(self, candidate_replicas, pending_request=None):
        # Serve pickles this class by value; the list is the one that the test sees.
        from tests.distributed import counting_router

        counting_router.LOOKS.append(None)
        return await super().choose_replicas(candidate_replicas, pending_request)
