"""Applications that outlived the job that started them, since a killed job cannot stop its own."""

import re
from typing import Any

from gdrl.tracking import say

_NAME = re.compile(r"mllm-([0-9a-f]{8})-[0-9a-f]{8}")


def app_name(digest: int) -> str:
    """Of an application that ends with this job: it tells the job, and what it was made of."""
    import ray

    return f"mllm-{ray.get_runtime_context().get_job_id()}-{digest:08x}"


def delete_orphans() -> None:
    """Delete the applications of jobs that run no more; their replicas hold machines for nobody."""
    from ray import serve

    running = running_jobs()
    for app in serve.status().applications:
        name = _NAME.fullmatch(app)
        if name and name[1] not in running:
            serve.delete(app)
            say(f"MLLM  {app} deleted: the job that started it runs no more")


def running_jobs() -> set[str]:
    """Ids of the jobs of this cluster whose drivers run, as Ray noticed so far."""
    # Ray's public list of jobs asks the dashboard, which a cluster need not have. This asks the
    # cluster itself; tests/distributed/test_serve.py kills a job and sees that it is gone from it.
    from ray._private.state import jobs

    table: list[dict[str, Any]] = jobs()  # type: ignore[no-untyped-call]
    return {job["JobID"] for job in table if not job["IsDead"]}
