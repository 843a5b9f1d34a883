"""SeaweedFS: an S3 server that we did not write, on loopback, with credentials."""

import json
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from gdrl.artifacts.s3_client import client
from gdrl.config import S3Settings

START_SECONDS = 60.0
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
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20)}


@dataclass(frozen=True)
class Seaweed:
    """A running server; its credentials are in ``os.environ``."""

    s3: S3Settings

    def bucket(self) -> str:
        """A new bucket."""
        name = f"bucket-{secrets.token_hex(4)}"
        client(self.s3).create_bucket(Bucket=name)
        return name


@contextmanager
def serving(folder: Path) -> Iterator[S3Settings]:
    """A server that keeps its data in ``folder`` and knows :data:`CREDENTIALS`."""
    _write_credentials(folder / "s3.json")
    ports = free_ports(len(PORTS))
    with (folder / "log.txt").open("wb") as log:
        server = subprocess.Popen(_command(folder, ports), cwd=folder, stdout=log, stderr=log)
    endpoint = f"http://127.0.0.1:{ports[0]}"
    try:
        _wait(f"{endpoint}/healthz", server, folder / "log.txt")
        yield S3Settings(
            endpoint=endpoint,
            region="us-east-1",
            addressing="path",
            cache=str(folder / "cache"),
        )
    finally:
        server.terminate()
        server.wait(timeout=60)


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    with serving(tmp_path_factory.mktemp("seaweed")) as s3, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield Seaweed(s3)


def _write_credentials(file: Path) -> None:
    credentials = {
        "accessKey": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "secretKey": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "tests", "credentials": [credentials], "actions": actions}
    file.write_text(json.dumps({"identities": [identity]}))


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for free in sockets:
            free.bind(("127.0.0.1", 0))
        return [free.getsockname()[1] for free in sockets]


def _command(folder: Path, ports: list[int]) -> list[str]:
    (folder / "data").mkdir()
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": folder / "s3.json",
        "s3.autoCreateBucket": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "admin.ui": "false",
        "webdav": "false",
        "master.telemetry": "false",
        # Every bucket takes a volume at least; by itself the server allows one per free GiB.
        "volume.max": 10_000,
        **dict(zip(PORTS, ports, strict=True)),
    }
    program = Path(sys.executable).with_name("weed")
    return [str(program), "mini", *(f"-{name}={value}" for name, value in options.items())]


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            if urllib3.request("GET", url, retries=False, timeout=1).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            time.sleep(0.1)
    pytest.fail(f"no answer in {START_SECONDS} s: {log.read_text()}")
