import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from seaweed import Seaweed

from gdrl import cli, doctor
from gdrl.artifacts import LocalStore, Storage, Store
from gdrl.config import RunConfig
from gdrl.distributed import session
from gdrl.errors import ConfigError, EndpointError, StorageError

Only = Callable[[str], None]


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    """Have the doctor make one of its checks alone."""
    return lambda name: monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name]})


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port of loopback where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def configure(**sections: object) -> RunConfig:
    return RunConfig.model_validate(sections)


def at(address: str) -> RunConfig:
    return configure(scale={"cluster": {"address": address}})


def test_a_healthy_storage_is_left_as_it_was(storage: Storage, filled: Store) -> None:
    filled.create("demo/attempts/0001/config.json", b"{}")
    said = doctor.check_storage(configure(storage=storage.uri, s3=storage.s3))
    assert said == f"{storage.uri}: write, refuse a second write, read, list, delete"
    assert "demo" in filled.names("")
    assert list(filled.objects(doctor.SCRATCH)) == []


def test_a_storage_that_lets_two_jobs_commit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(LocalStore):
        """A server that does not know If-None-Match."""

        def create(self, key: str, content: bytes) -> None:
            self.delete([key])
            super().create(key, content)

    monkeypatch.setattr(doctor, "open_store", lambda _: Careless(tmp_path / "runs"))
    with pytest.raises(StorageError, match="use a server that knows If-None-Match"):
        doctor.check_storage(configure())
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file/runs: Not a directory; make it writable"):
        doctor.check_storage(configure(storage=str(tmp_path / "file/runs")))


def test_a_wrong_key_is_told_from_a_missing_bucket(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch, only: Only
) -> None:
    only("storage")
    (found,) = doctor.examine(configure(storage="s3://absent/runs", s3=seaweed.s3))
    assert not found.ok
    assert "there is no bucket 'absent'" in found.text
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    (found,) = doctor.examine(configure(storage="s3://absent/runs", s3=seaweed.s3))
    assert "refused the credentials (SignatureDoesNotMatch)" in found.text
    assert "planted-secret" not in found.text


def test_the_commands_last_word_is_its_exit_code(
    only: Only, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only("storage")
    with pytest.raises(SystemExit, match="0"):
        cli.gdrl(["doctor", f"storage={tmp_path}"])
    assert capsys.readouterr().out.startswith(f"ok      storage  {tmp_path}: write")
    with pytest.raises(SystemExit, match="1"):
        cli.gdrl(["doctor", "storage=/dev/null/runs"])
    assert capsys.readouterr().out.startswith("FAILED  storage  /dev/null/runs: Not a directory")


def test_without_an_address_the_cluster_will_be_private(
    only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("ray")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (found,) = doctor.examine(configure())
    assert found.ok
    assert "a private cluster will be started here" in found.text


def test_a_cluster_says_how_large_it_is_and_wants_its_token(
    only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    only("ray")
    session.connect()
    try:
        import ray

        config = at(ray.get_runtime_context().gcs_address)
        (found,) = doctor.examine(config)
        assert found.ok, found.text
        assert "token accepted, 1 nodes" in found.text
        monkeypatch.delenv("RAY_AUTH_TOKEN")
        (found,) = doctor.examine(config)
        assert not found.ok
        assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN" in found.text
    finally:
        session.disconnect()


def test_an_address_where_nobody_listens_is_a_line(only: Only, closed_port: int) -> None:
    only("ray")
    (found,) = doctor.examine(at(f"127.0.0.1:{closed_port}"))
    assert not found.ok
    assert "no Ray cluster listens" in found.text
    assert "correct scale.cluster.address" in found.text


def test_what_never_answers_is_a_line_too(only: Only, silent_port: int) -> None:
    only("ray")
    (found,) = doctor.examine(at(f"127.0.0.1:{silent_port}"), timeout_seconds=2)
    assert str(found).startswith("FAILED  ray      no answer within 2 s;")


def test_a_package_that_is_not_installed_is_a_line(
    only: Only, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    only("ray")
    (tmp_path / "ray.py").write_text("raise ModuleNotFoundError(\"No module named 'ray'\")")
    monkeypatch.syspath_prepend(tmp_path)
    (found,) = doctor.examine(configure())
    assert (found.ok, found.text) == (False, "No module named 'ray'; pip install gdrl")


def test_the_embedded_mllm_answers_a_question() -> None:
    assert doctor.check_mllm(configure()).startswith("embedded in this process answered")


def test_an_endpoint_where_nobody_listens_has_a_remedy(closed_port: int) -> None:
    mllm = {"model": "llava", "endpoint": f"http://127.0.0.1:{closed_port}/v1"}
    with pytest.raises(EndpointError, match="start the server there, correct the URL"):
        doctor.check_mllm(configure(recipe={"mllm": mllm}))


def test_a_gpu_that_is_asked_for_and_absent_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert doctor.check_gpu(configure()).endswith("GPUs: none")
    for section in ("vae", "disgraph", "contrastive"):
        wanted = {section: {"use_gpu": True}}
        with pytest.raises(ConfigError, match="scale asks for one"):
            doctor.check_gpu(configure(scale=wanted))
    on_cluster = {**wanted, "cluster": {"address": "head:6379"}}
    assert doctor.check_gpu(configure(scale=on_cluster)).endswith("GPUs: none")
