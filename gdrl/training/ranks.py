"""What the ranks of a training run make together; without a process group there is one."""

from torch import Tensor, distributed


def world_size() -> int:
    """How many ranks there are."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean of every rank's ``values``, without a gradient; every rank must ask."""
    if world_size() == 1:
        return values.detach()
    total = values.detach().clone()
    distributed.all_reduce(total)
    return total / world_size()
