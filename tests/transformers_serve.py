"""``transformers serve`` with the embedded model: an OpenAI-compatible server we did not write."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from gdrl.mllm import embedded

START_SECONDS = 240.0


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a ``transformers serve`` on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logs = tmp_path_factory.mktemp("serve") / "log.txt"
    program = Path(sys.executable).with_name("transformers")
    command = [program, "serve", embedded.directory(), "--host", "127.0.0.1", "--port", str(port)]
    with logs.open("wb") as log:
        served = subprocess.Popen(
            [*map(str, command), "--device", "cpu"],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", served, logs)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        served.terminate()
        served.wait(timeout=20)


def _wait(url: str, served: subprocess.Popen[bytes], logs: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert served.poll() is None, logs.read_text()
        try:
            if urllib3.request("GET", url, retries=False, timeout=1).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            time.sleep(0.2)
    pytest.fail(f"no answer in {START_SECONDS} s: {logs.read_text()}")
