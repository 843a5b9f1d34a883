"""What happens to artifacts in a bucket when networks, servers, disks and processes fail."""

import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import psutil
import pytest
from faults.proxy import Fault, Proxy, proxy_to
from seaweed import CREDENTIALS, Seaweed
from small_artifact import WEIGHTS, fill, finish, finish_large

from gdrl.artifacts import Run, Storage, open_store
from gdrl.artifacts.s3_client import client
from gdrl.config import S3Settings
from gdrl.errors import ArtifactExists, StorageError

FILES = {"deep/model.txt", "index.html", "weights"}


@pytest.fixture
def proxy(seaweed: Seaweed) -> Iterator[Proxy]:
    with proxy_to(seaweed.s3.endpoint) as proxy:
        yield proxy


@pytest.fixture
def bucket(seaweed: Seaweed) -> str:
    return seaweed.bucket()


@pytest.fixture
def s3(seaweed: Seaweed, proxy: Proxy, tmp_path: Path) -> S3Settings:
    """Through the proxy, with an empty cache."""
    update = {"endpoint": proxy.endpoint, "cache": str(tmp_path / "cache")}
    return seaweed.s3.model_copy(update=update)


@pytest.fixture
def run(s3: S3Settings, bucket: str) -> Run:
    return Run(open_store(Storage(f"s3://{bucket}", s3)), "demo")


@pytest.fixture
def directly(seaweed: Seaweed, bucket: str, tmp_path: Path) -> Run:
    """The same run past the proxy, from a machine with a cache of its own."""
    s3 = seaweed.s3.model_copy(update={"cache": str(tmp_path / "other")})
    return Run(open_store(Storage(f"s3://{bucket}", s3)), "demo")


def assert_whole(run: Run) -> None:
    folder = run.open("vae")
    assert {entry.path for entry in run.finished("vae").files} == FILES
    assert (folder / "weights").read_bytes() == WEIGHTS


# --- networks and servers -------------------------------------------------------------------------


def ten_percent(*faults: Fault) -> Callable[[str, str, int], Fault]:
    """One of ``faults`` for a tenth of the requests, drawn by what is asked and how often."""

    def draw(method: str, path: str, nth: int) -> Fault:
        asked = re.sub(r"^/bucket-\w+|uploadId=[^&]*", "", path)
        rng = random.Random(f"{method} {asked} {nth}")
        return rng.choice(faults) if rng.random() < 0.1 else ""

    return draw


def test_an_artifact_survives_faults_in_ten_percent_of_requests(run: Run, proxy: Proxy) -> None:
    proxy.fault = ten_percent("refuse", "reset", "lose", "truncate", "slow")
    for number in range(1, 9):
        finish(run, f"model {number}", attempt=f"{number:04d}")
        assert (run.open("vae") / "deep/model.txt").read_text() == f"model {number}"
        run.discard("vae", "train_vae")
    finish_large(run, run.attempt({}))
    assert_whole(run)
    assert {"refuse", "reset", "lose", "truncate"} <= {*proxy.faults}


@pytest.mark.parametrize("fault", ["refuse", "reset", "lose", "truncate", "slow", "conflict"])
def test_whatever_fails_once_is_tried_again(run: Run, proxy: Proxy, fault: Fault) -> None:
    def fault_once(method: str, path: str, nth: int) -> Fault:
        if fault == "conflict" and not path.endswith("manifest.json"):
            return ""
        return fault if nth == 0 and (method == "PUT") == (fault != "truncate") else ""

    proxy.fault = fault_once
    finish_large(run)
    assert_whole(run)
    assert proxy.faults[fault] > 0


def test_a_commit_whose_answer_was_lost_has_won_its_race(
    run: Run, proxy: Proxy, bucket: str
) -> None:
    manifest = f"/{bucket}/demo/vae/manifest.json"
    proxy.fault = lambda method, path, nth: (
        "lose" if (method, path, nth) == ("PUT", manifest, 0) else ""
    )
    finish_large(run)
    assert proxy.asked.count(("PUT", manifest)) == 2
    assert_whole(run)


def test_a_body_that_always_breaks_off_is_no_artifact(
    run: Run, proxy: Proxy, directly: Run, tmp_path: Path
) -> None:
    finish_large(directly)
    proxy.fault = lambda _, path, __: "truncate" if "weights" in path else ""
    with pytest.raises(StorageError, match="no answer from http"):
        run.open("vae")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_failed_upload_leaves_no_parts_behind(run: Run, proxy: Proxy, bucket: str) -> None:
    proxy.fault = lambda _, path, __: "deny" if "partNumber=2" in path else ""
    with pytest.raises(StorageError, match=r"refused the credentials \(AccessDenied\)"):
        finish_large(run)
    proxy.fault = lambda *_: ""
    s3 = client(run.store.location("").s3)
    assert s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []
    finish_large(run, "0002")
    assert_whole(run)


# --- what a person can mend -----------------------------------------------------------------------


@pytest.fixture
def new_clients() -> Iterator[None]:
    """Clients that look for credentials anew, and none of them kept."""
    client.cache_clear()
    yield
    client.cache_clear()


@pytest.mark.usefixtures("new_clients")
def test_a_wrong_secret_is_named_without_being_shown(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(
        StorageError, match=r"refused the credentials \(SignatureDoesNotMatch\)"
    ) as e:
        run.manifest("vae")
    assert "wrong-secret" not in "".join(traceback.format_exception(e.value))


@pytest.mark.usefixtures("new_clients")
def test_no_credentials_are_asked_for(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match=r"no credentials for .*; set AWS_ACCESS_KEY_ID and"):
        run.manifest("vae")


def test_an_expired_token_is_named(run: Run, proxy: Proxy) -> None:
    proxy.fault = lambda *_: "expire"
    with pytest.raises(StorageError, match=r"refused the credentials \(ExpiredToken\); renew them"):
        finish(run)


def test_a_missing_bucket_is_named(s3: S3Settings) -> None:
    run = Run(open_store(Storage("s3://no-such-bucket/runs", s3)), "demo")
    with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket' at http"):
        run.manifest("vae")
    with pytest.raises(StorageError, match="there is no bucket 'no-such-bucket'"):
        run.store.names("")


def test_a_server_that_is_gone_is_named(seaweed: Seaweed) -> None:
    with proxy_to(seaweed.s3.endpoint) as gone:
        s3 = seaweed.s3.model_copy(update={"endpoint": gone.endpoint})
    with pytest.raises(StorageError, match=rf"no answer from {gone.endpoint} .*check s3\.endpoint"):
        open_store(Storage("s3://bucket", s3)).read("a")


def test_a_full_disk_is_named_and_nothing_half_is_kept(directly: Run, tmp_path: Path) -> None:
    finish_large(directly)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(StorageError, match=r"other cannot take demo/vae/.*make room there"):
            directly.open("vae")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not any(path.stat().st_size == 2**20 for path in (tmp_path / "other").rglob("*"))
    assert_whole(directly)


# --- processes ------------------------------------------------------------------------------------


@pytest.fixture
def start_writer(tmp_path: Path, repository: Path) -> Callable[[Storage], subprocess.Popen[bytes]]:
    """Start a process that commits the large artifact as attempt 0001."""

    def start(storage: Storage) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "small_artifact", storage.uri, storage.s3.endpoint]
        path = f"{repository / 'tests'}:{repository}"
        return subprocess.Popen(
            [*command, str(tmp_path / "writer"), "0001"], env={**os.environ, "PYTHONPATH": path}
        )

    return start


def test_a_writer_killed_after_any_request_leaves_all_or_nothing(
    run: Run, proxy: Proxy, start_writer: Callable[[Storage], subprocess.Popen[bytes]]
) -> None:
    finished = []
    while not finished or finished[-1] != 0:
        storage = run.store.location(str(len(finished)))
        proxy.asked.clear()
        writer = start_writer(storage)
        proxy.after = kill_after(len(finished) + 1, writer)
        finished.append(writer.wait())
        proxy.after = lambda _: None
        again = Run(open_store(storage), "demo")
        if again.manifest("vae") is None:
            assert finished[-1] == -signal.SIGKILL
            finish_large(again, "0002")
        assert_whole(again)
    assert finished[:-1] == [-signal.SIGKILL] * 8  # read, two files, one in parts (4), manifest


def kill_after(requests: int, process: subprocess.Popen[bytes]) -> Callable[[int], None]:
    return lambda number: process.kill() if number == requests else None


def test_of_sixteen_writers_one_wins(run: Run) -> None:
    together = Barrier(16)

    def commit(number: int) -> int | None:
        mine = Run(open_store(run.store.location("")), "demo")
        out = mine.begin("vae", "train_vae")
        manifest = fill(out, f"model {number}", attempt=f"{number:04d}")
        together.wait()
        try:
            mine.commit(out, manifest)
        except ArtifactExists:
            return None
        return number

    with ThreadPoolExecutor(16) as pool:
        winners = [number for number in pool.map(commit, range(16)) if number is not None]
    assert len(winners) == 1
    assert (run.open("vae") / "deep/model.txt").read_text() == f"model {winners[0]}"


def test_many_readers_share_a_cache(run: Run, directly: Run) -> None:
    finish_large(directly)
    together = Barrier(8)

    def read(_: int) -> bool:
        mine = Run(open_store(run.store.location("")), "demo")
        together.wait()
        return (mine.open("vae") / "weights").read_bytes() == WEIGHTS

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


# --- secrets --------------------------------------------------------------------------------------


def test_no_secret_is_written_or_shown(
    run: Run,
    proxy: Proxy,
    start_writer: Callable[[Storage], subprocess.Popen[bytes]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    secret = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == secret
    caplog.set_level("DEBUG")
    shown = list[str]()
    proxy.after = lambda _: shown.extend(
        " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )
    assert start_writer(run.store.location("")).wait() == 0
    proxy.after = lambda _: None
    assert any("small_artifact" in line for line in shown)
    run.log(run.attempt({}), "started")
    run.open("vae")
    proxy.fault = lambda *_: "deny"
    with pytest.raises(StorageError) as error:
        run.store.names("")
    shown += [caplog.text, *traceback.format_exception(error.value)]
    proxy.fault = lambda *_: ""
    kept = [run.store.read(o.key) or b"" for o in run.store.objects("")]
    kept += [path.read_bytes() for path in (tmp_path).rglob("*") if path.is_file()]
    kept += [pickle.dumps(run.store.location("")), pickle.dumps(run.source("vae"))]
    assert not any(secret in text for text in shown)
    assert not any(secret.encode() in content for content in kept)
