"""What all share that run something elsewhere: what a worker needs, and what it said at last."""

from gdrl.config import TrainScale


def this_node() -> dict[str, str]:
    """A label selector: where this process runs, and nowhere else."""
    import ray

    return {"ray.io/node-id": ray.get_runtime_context().get_node_id()}


def resources_of(scale: TrainScale) -> dict[str, float]:
    """What one worker takes from its node."""
    devices = {"GPU": 1.0} if scale.use_gpu else {}
    return {"CPU": float(scale.threads_per_worker)} | devices | scale.resources_per_worker


def environment_of(scale: TrainScale) -> dict[str, str]:
    """The environment variables of a worker."""
    threads = {"OMP_NUM_THREADS": str(scale.threads_per_worker)}
    # DeepSpeed takes a GPU where it sees one, also where none was given.
    return threads if scale.use_gpu else threads | {"DS_ACCELERATOR": "cpu"}


def last_line(error: BaseException) -> str:
    """A remote traceback ends in the line that matters."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1]
