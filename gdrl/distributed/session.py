"""The Ray cluster of this process: the job's own, or a private one on this machine."""

import logging
import os
import secrets
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from gdrl.config import ClusterScale
from gdrl.errors import ClusterError, ConfigError

MIN_LOGICAL_CPUS = 4
"""A trainer, a replica, and who reads and asks must fit beside each other on two cores."""

OBJECT_STORE_BYTES = 300 * 2**20
"""Only encoded images in flight cross the object store; under 100 MB even at 64 in flight."""

_PRIVATE_ENVIRONMENT = {
    # Loopback only. Ray reads it at import and then takes 127.0.0.1 as the node's address; without
    # it, every gRPC server of a local cluster listens on all interfaces.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Both serve what one machine has not (spot reclaim, a Prometheus scraper) and cost processes.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # ray.shutdown() ends the exporter of metrics of a process's first cluster alone. Those of later
    # ones log, as the process exits, through what is gone: one whole test run of seven died so.
    "RAY_enable_open_telemetry": "0",
    # Workers do the work while the driver waits: Ray's 15 hands the cores to whatever else runs.
    "RAY_worker_niceness": "0",
}

_QUIET_ENVIRONMENT = {
    # Workers otherwise each take every core; `scale` raises it where more threads are wanted.
    "OMP_NUM_THREADS": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # After Ctrl-C a stage's thread may still poll: it must not start a second cluster.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # Workers keep the driver's working directory, so relative paths mean the same everywhere.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # The controller polls workers this often; Ray's 2 s cost 5 s of every run's start and end.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
}


_logger = logging.getLogger(__name__)


@dataclass
class _Session:
    private: bool = False


_session = _Session()
_lock = threading.Lock()


def cluster_address(scale: ClusterScale) -> str:
    """Of the cluster that a job would join; empty where it would start a private one."""
    return scale.address or os.environ.get("RAY_ADDRESS", "")


def connect(scale: ClusterScale | None = None) -> None:
    """Join the cluster of this job, or start a private one; a no-op where one is connected.

    The cluster is the one at ``scale.address``, else the one whose job this process is
    (``RAY_ADDRESS``), else a new one that listens on the loopback interface only, asks for a token
    that lives in this process's environment, and ends with this process.

    Raises:
        ConfigError: no cluster answers at the address.
        ClusterError: a private one does not start.
    """
    scale = scale or ClusterScale()
    address = cluster_address(scale)
    with _lock:
        if _is_connected():
            return
        _prepare_environment(private=not address)
        if address:
            _join(address)
        else:
            _start(scale.num_cpus or max(MIN_LOGICAL_CPUS, os.cpu_count() or 1))


def disconnect() -> None:
    """Leave the cluster; a private one ends with everything on it. A no-op where there is none."""
    import ray

    with _lock:
        if ray.is_initialized():
            ray.shutdown()
        if "ray.serve" in sys.modules:
            from ray.serve.context import _set_global_client

            # Serve would otherwise talk to the dead controller on the next cluster.
            _set_global_client(None)  # type: ignore[no-untyped-call]
        _session.private = False


def quieten(library: str) -> None:
    """Keep one of Ray's libraries, once imported, from this process's output; its files stay."""
    logger = logging.getLogger(library)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.ERROR)


def require(wanted: Mapping[str, float], what: str, remedy: str) -> None:
    """Refuse what a private cluster can never hold; any other cluster may still grow.

    Raises:
        ConfigError: the machine has less than ``wanted`` of some resource in all.
    """
    import ray

    present = ray.cluster_resources()  # type: ignore[no-untyped-call]
    lacking = [
        f"{amount:g} {resource} of {present.get(resource, 0):g}"
        for resource, amount in wanted.items()
        if amount > present.get(resource, 0)
    ]
    if _session.private and lacking:
        raise ConfigError(f"{what} needs {', '.join(lacking)} on this machine; {remedy}")


def _is_connected() -> bool:
    """Without an import of Ray, before the environment is prepared for it."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _prepare_environment(private: bool) -> None:
    settings = _QUIET_ENVIRONMENT | (_PRIVATE_ENVIRONMENT if private else {})
    for key, value in settings.items():
        os.environ.setdefault(key, value)


def _join(address: str) -> None:
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError) as error:
        raise ConfigError(
            f"no Ray cluster can be joined at {address!r} ({error}); start it, or correct "
            "scale.cluster.address or RAY_ADDRESS (without both, a private cluster is started here)"
        ) from error


def _start(num_cpus: int) -> None:
    import ray

    # Ray would write a token to ~/.ray/auth_token. One in the environment is inherited by what this
    # process starts, is told to nobody else, and leaves the home directory as it was.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for tries_left in (1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=num_cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
            break
        # Ray waits 15 s for an agent's port and 30 s for a node, fixed in its code (its issue
        # 65983), and raises this very class. What a busy machine missed once it mostly makes next.
        except Exception as error:
            if tries_left:
                _logger.warning("Ray did not start (%s); trying once more", error)
                continue
            raise ClusterError(
                f"Ray did not start on this machine ({error}). Where it timed out, other work took "
                "up the 15 to 30 s that it gives each of its processes: stop some and run the same "
                "command again, which keeps finished stages. Ray's own logs are in "
                "session_latest/logs of its folder (RAY_TMPDIR, or /tmp/ray)"
            ) from error
    _session.private = True
