"""What the cluster that a job would join says of itself."""

import os
import socket
from importlib.metadata import version

from gdrl.config import ClusterScale
from gdrl.distributed import session
from gdrl.errors import ConfigError

LISTENS_SECONDS = 5.0
"""Ray itself tries an address that nobody listens at for more than three minutes."""


def describe_cluster(scale: ClusterScale) -> str:
    """Version, nodes and resources. Joins the cluster to ask, and leaves it.

    Raises:
        ConfigError: nothing listens at the address, another version does, or it wants a token.
    """
    import ray

    address = session.cluster_address(scale)
    if not address:
        return f"ray {version('ray')}; no address: a private cluster will be started here"
    _listens(address)
    try:
        session.connect(scale)
    except (ConfigError, ray.exceptions.AuthenticationError) as error:
        raise ConfigError(
            f"the Ray cluster at {address!r} lets nobody join like this ({error.__cause__ or error}"
            "); set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to its token, "
            f"and use its version of Ray (here it is {version('ray')})"
        ) from error
    try:
        return f"ray {version('ray')}, {_token()}, {_size()}"
    finally:
        session.disconnect()


def _listens(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # "auto", or a name that Ray looks up itself
        return
    try:
        socket.create_connection((host, int(port)), LISTENS_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"no Ray cluster listens at {address!r} ({error}); start it, open its port, or correct "
            "scale.cluster.address or RAY_ADDRESS"
        ) from error


def _token() -> str:
    disabled = os.environ.get("RAY_AUTH_MODE") == "disabled"
    return "no token asked for" if disabled else "token accepted"


def _size() -> str:
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
    shown = [f"{len(nodes)} nodes", f"{resources.pop('memory', 0) / 2**30:.0f} GiB of memory"]
    resources.pop("object_store_memory", None)
    shown += [f"{amount:g} {name}" for name, amount in resources.items() if ":" not in name]
    return ", ".join(shown)
