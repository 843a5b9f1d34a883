"""SeaweedFS on loopback: an S3 server to measure against."""

import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import urllib3

from gdrl.config import S3Settings

PORTS = (
    "s3.port",
    "s3.port.grpc",
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "admin.port",
    "admin.port.grpc",
)


@contextmanager
def serving(folder: Path) -> Iterator[S3Settings]:
    """A server that keeps its data in ``folder``; its credentials are put into the environment."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}
    ports = _free_ports(len(PORTS))
    endpoint = f"http://127.0.0.1:{ports[0]}"
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(_command(folder, ports), cwd=folder, stdout=log, stderr=log)
    try:
        patience = urllib3.Retry(total=12, backoff_factor=0.05, status_forcelist=(503,))
        urllib3.request("GET", f"{endpoint}/healthz", retries=patience)
        yield S3Settings(endpoint=endpoint, region="us-east-1", addressing="path")
    finally:
        server.terminate()
        server.wait()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def _command(folder: Path, ports: list[int]) -> list[str]:
    credentials = {
        "accessKey": os.environ["AWS_ACCESS_KEY_ID"],
        "secretKey": os.environ["AWS_SECRET_ACCESS_KEY"],
    }
    actions = ["Admin", "Read", "Write", "List"]
    identity = {"name": "bench", "credentials": [credentials], "actions": actions}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": folder / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "admin.ui": "false",
        "webdav": "false",
        "master.telemetry": "false",
        **dict(zip(PORTS, ports, strict=True)),
    }
    program = Path(sys.executable).with_name("weed")
    return [str(program), "mini", *(f"-{name}={value}" for name, value in options.items())]
