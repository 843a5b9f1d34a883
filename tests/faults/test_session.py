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


def test_a_start_that_failed_once_is_tried_again() -> None:
    """Ray is given a folder that cannot be, until the first complaint."""
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", RELENTING],
        env=environment | {"RAY_TMPDIR": "/dev/null/ray"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "True\n", done.stderr
    assert "trying once more" in done.stderr
