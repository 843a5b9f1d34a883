"""docs/cluster.md, "One machine first", typed as it stands there: other ports, a smaller demo."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
SMALL = [
    "recipe.dataset.num_images=200",
    "recipe.scores.num_images=40",
    "recipe.vae.steps=150",
    "recipe.disgraph.steps=6",
    "recipe.graph.num_bootstrap=20",
    "scale.vae.checkpoint_every_steps=3",  # half a second each: time to stop it
]

pytestmark = pytest.mark.timeout(900)


def blocks() -> list[str]:
    """The section's blocks of commands, in order."""
    guide = (ROOT / "docs/cluster.md").read_text()
    _, _, section = guide.partition("## One machine first\n")
    return re.findall(r"^```\n(.*?)^```", section.partition("\n## ")[0], re.DOTALL | re.MULTILINE)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Machine:
    """A shell on this machine, with a home, a temporary folder and ports of its own."""

    home: Path
    ray_folder: Path
    ports: dict[str, int] = field(
        default_factory=lambda: {p: free_port() for p in ("6379", "8265")}
    )

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        return kept | {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "RAY_TMPDIR": str(self.ray_folder),
        }

    def typed(self, commands: str) -> str:
        """The commands with this machine's ports and places, and a demo of a minute."""
        for default, port in self.ports.items():
            commands = commands.replace(default, str(port))
        own = "".join(
            f" --{name}={free_port()}"
            for name in (
                "dashboard-agent-listen-port",
                "ray-client-server-port",
                # Given, Ray does not wait 15 s for its agent to choose them, and then give up.
                "dashboard-agent-grpc-port",
                "metrics-export-port",
            )
        )
        commands = commands.replace("ray start --head", f"exec ray start --head{own}")
        return commands.replace("$PWD/runs", f"{self.home}/runs {' '.join(SMALL)}")

    def run(self, commands: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """In the second terminal."""
        exports = next(line for line in blocks()[1].splitlines() if line.startswith("export"))
        return subprocess.run(
            ["bash", "-c", f"{self.typed(exports)}\n{self.typed(commands)}"],
            cwd=ROOT,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With the first terminal's block running; Ctrl-C ends it, and nothing is left."""
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, for sockets lie in it
    machine = Machine(tmp_path_factory.mktemp("home"), ray_folder)
    log = machine.home / "head.log"
    with log.open("w") as file:
        head = subprocess.Popen(
            ["bash", "-c", machine.typed(blocks()[0])],
            cwd=ROOT,
            env=machine.environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "Ray runtime started" in log.read_text() or head.poll() is not None)
        assert head.poll() is None, log.read_text()
        yield machine
    finally:
        os.killpg(head.pid, signal.SIGINT)  # as the terminal does
        head.wait(timeout=120)
        wait_for(lambda: not processes(ray_folder))
        shutil.rmtree(ray_folder)


def wait_for(condition: Callable[[], Any], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)


def processes(ray_folder: Path) -> list[psutil.Process]:
    """What was started for this machine's Ray, told by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RAY_TMPDIR") == str(ray_folder):
                found.append(process)
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return found


def test_nothing_listens_beyond_the_loopback_interface(machine: Machine) -> None:
    listening = {
        connection.laddr.ip
        for process in processes(machine.ray_folder)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    assert listening <= LOOPBACK


@pytest.mark.parametrize("command", ["serve deploy cluster/serve_mllm.yaml", "ray job list"])
def test_without_the_token_nobody_is_let_in_and_is_told_why(
    machine: Machine, tmp_path: Path, command: str
) -> None:
    missing = machine.run(command, HOME=str(tmp_path))
    assert missing.returncode
    assert "couldn't find an authentication token" in missing.stdout
    wrong = machine.run(command, RAY_AUTH_TOKEN="f" * 64)
    assert wrong.returncode
    assert "authentication token is invalid" in wrong.stdout
    assert "f" * 64 not in wrong.stdout


@dataclass
class Session:
    deployed: str
    """What ``serve status`` says once the application runs."""
    stopped: str
    """The log of the job that was stopped."""
    resumed: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def session(machine: Machine) -> Session:
    """The second terminal's blocks: deploy, submit, stop, submit again."""
    deploy, submit, stop = blocks()[1:4]
    assert (done := machine.run(deploy)).returncode == 0, done.stdout
    wait_for(lambda: "RUNNING" in machine.run("serve status").stdout)
    deployed = machine.run("serve status").stdout
    started = machine.run(submit.replace("ray job submit", "ray job submit --no-wait"))
    assert started.returncode == 0, started.stdout
    wait_for(lambda: checkpointed(machine))
    stopping, resubmit = stop.splitlines()
    assert (done := machine.run(stopping)).returncode == 0, done.stdout
    assert "was stopped" in machine.run("ray job status first").stdout
    stopped = machine.run("ray job logs first").stdout
    return Session(deployed, stopped, machine.run(resubmit))


def checkpointed(machine: Machine) -> bool:
    """Whether Ray Train has committed a checkpoint."""
    snapshots = machine.home.glob("runs/demo/training/*/*/checkpoint_manager_snapshot.json")
    return any(json.loads(path.read_text())["latest_checkpoint_result"] for path in snapshots)


def test_the_mllm_is_deployed_from_its_file(session: Session) -> None:
    assert "mllm:" in session.deployed
    assert "RUNNING" in session.deployed


def test_a_stopped_job_is_gone_on_with(session: Session, machine: Machine) -> None:
    assert "done  prepare_data" in session.stopped
    assert "done  train_vae" not in session.stopped
    assert session.resumed.returncode == 0, session.resumed.stdout
    assert "skip  prepare_data" in session.resumed.stdout
    assert (machine.home / "runs/demo/report/index.html").is_file()


def test_the_deployment_was_used_and_outlives_the_job(session: Session, machine: Machine) -> None:
    assert "found as 'mllm', left running" in session.resumed.stdout
    assert "RUNNING" in machine.run("serve status").stdout


def test_a_job_that_fails_exits_1_and_its_log_says_why(machine: Machine) -> None:
    submit = "ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml"
    job = "python jobs/pipeline.py jobs/recipes/demo.toml recipe.b=1"
    failed = machine.run(f"{submit} --submission-id wrong -- {job}")
    assert failed.returncode == 1
    assert "recipe.b" in machine.run("ray job logs wrong").stdout
