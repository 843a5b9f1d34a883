"""Private clusters that do not start, and what those leave behind that end."""

import os
import subprocess
import sys

RELENTING = """
import logging, os
from gdrl.distributed import session

def relent(record):
    os.environ.pop("RAY_TMPDIR", None)
    return True

logging.getLogger("gdrl.distributed.session").addFilter(relent)
session.connect()
import ray
print(ray.cluster_resources()["CPU"] >= session.MIN_LOGICAL_CPUS)
session.disconnect()
"""

THREE_CLUSTERS = """
from pathlib import Path
from gdrl.distributed import session

for _ in range(3):
    session.connect()
    import ray
    ray.get(ray.remote(lambda: 1).remote())
    session.disconnect()
    # gRPC's pools have names, and come and go.
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    print(names.count(Path("/proc/self/comm").read_text()))
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process that no cluster is told of."""
    inherited = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    return subprocess.run(
        [sys.executable, "-c", script],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_start_that_failed_once_is_tried_again() -> None:
    """Ray is given a folder that cannot be, until the first complaint."""
    done = run(RELENTING, RAY_TMPDIR="/dev/null/ray")
    assert done.stdout == "True\n", done.stderr
    assert "trying once more" in done.stderr


def test_a_cluster_that_ended_leaves_the_process_no_thread_more_than_the_first() -> None:
    """Threads of Ray's that outlive it are what a process can crash on as it exits."""
    done = run(THREE_CLUSTERS)
    assert done.returncode == 0, done.stderr
    first, *others = map(int, done.stdout.split())
    assert others == [first] * 2
