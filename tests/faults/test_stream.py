"""Faults of the service and of the driver, injected for real: no image is lost, none asked twice.

Each engine writes down what it answers; see ``tests/distributed/engines.py``.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_artifact import finish_dataset

from gdrl.artifacts import Storage
from gdrl.config import MLLMRecipe, MLLMScale, StreamScale
from gdrl.distributed.answers import AnswerCache
from gdrl.distributed.serve import SHARED_APP, serving
from gdrl.distributed.stream import score_stream
from gdrl.errors import EndpointError
from gdrl.mllm.questions import score_query
from tests.distributed.engines import answered, level_of, makes_no_sense

ROOT = Path(__file__).parents[2]
ENGINES = "tests.distributed.engines"
ENDPOINT = "http://localhost:1/v1"
ATTRIBUTES = ("hat", "smile")
NUM_IMAGES = 200

Rows = list[dict[str, Any]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_images(folder)
    return folder


def write_images(folder: Path) -> None:
    """Two shards; the pictures' bytes are their names."""
    for shard in range(2):
        ids = range(shard * NUM_IMAGES // 2, (shard + 1) * NUM_IMAGES // 2)
        rows = {"id": list(ids), "image": [picture(id_) for id_ in ids]}
        pq.write_table(pa.table(rows), folder / f"images-{shard:05d}.parquet")


def picture(id_: int) -> bytes:
    return b"image-%d" % id_


@pytest.fixture
def ask(images: Path, tmp_path: Path) -> Callable[..., Rows]:
    """All rows of a stream over all images, asked of an engine of ``engines.py``."""

    def ask(engine: str, endpoint: str = "", mllm: MLLMScale | None = None, **scale: Any) -> Rows:
        recipe = MLLMRecipe(model=str(tmp_path), endpoint=endpoint)
        settings = StreamScale(**{"images_per_part": 32, **scale})
        with serving(recipe, mllm or MLLMScale(), open_engine=f"{ENGINES}:{engine}") as service:
            storage = Storage(str(tmp_path / "runs"))
            ids = range(NUM_IMAGES)
            blocks = score_stream(images, ids, ATTRIBUTES, service, settings, storage)
            return pa.concat_tables(blocks).to_pylist()

    return ask


def assert_whole(rows: Rows, nonsense: Callable[[bytes, str], bool] | None = None) -> None:
    """Exactly one row a question, each with the right answer."""
    asked = sorted((row["id"], row["attribute"]) for row in rows)
    assert asked == sorted((id_, name) for id_ in range(NUM_IMAGES) for name in ATTRIBUTES)
    for row in rows:
        image = picture(row["id"])
        question = score_query(image, row["attribute"]).question
        if nonsense is not None and nonsense(image, question):
            assert row["status"] == "unparsable"
        else:
            assert row["status"] == "ok", row
            assert row["expectation"] == level_of(image, question, 6)


def assert_asked_once(folder: Path) -> None:
    log = answered(folder)
    assert len(log) == NUM_IMAGES * len(ATTRIBUTES)
    assert len(set(log)) == len(log)


@pytest.mark.usefixtures("cluster")
def test_a_replica_killed_in_mid_batch(ask: Callable[..., Rows], tmp_path: Path) -> None:
    rows = ask("Killed", mllm=MLLMScale(num_replicas=2, batch_size=8), timeout_seconds=30)
    assert (tmp_path / "killed").exists()
    assert_whole(rows)
    assert_asked_once(tmp_path)


@pytest.mark.usefixtures("cluster")
def test_all_replicas_gone_for_a_while(ask: Callable[..., Rows], tmp_path: Path) -> None:
    """For twenty seconds: the pauses between all attempts of an image last four at most."""
    mllm = MLLMScale(num_replicas=2, batch_size=8)
    rows = ask("Gone", mllm=mllm, timeout_seconds=30, outage_seconds=120)
    assert (tmp_path / "gone").exists()
    assert_whole(rows)
    assert_asked_once(tmp_path)


@pytest.mark.usefixtures("cluster")
def test_a_service_that_does_not_come_back(ask: Callable[..., Rows], tmp_path: Path) -> None:
    """The stream fails clearly, and the next one asks only what was not answered."""
    with pytest.raises(EndpointError, match=r"connection refused.*what was answered is kept"):
        ask("Leaving", ENDPOINT, outage_seconds=1)
    before = len(answered(tmp_path))
    assert 0 < before < NUM_IMAGES * len(ATTRIBUTES)
    assert_whole(ask("Logging", ENDPOINT))
    assert_asked_once(tmp_path)


@pytest.mark.usefixtures("cluster")
def test_three_replies_in_ten_malformed(ask: Callable[..., Rows], tmp_path: Path) -> None:
    assert_whole(ask("Malformed"), nonsense=makes_no_sense)
    assert_asked_once(tmp_path)


@pytest.mark.usefixtures("cluster")
def test_one_call_in_ten_times_out(ask: Callable[..., Rows], tmp_path: Path) -> None:
    rows = ask("Hanging", ENDPOINT, attempts=8, timeout_seconds=1)
    assert_whole(rows)
    assert max(row["attempts"] for row in rows) > 1
    assert_asked_once(tmp_path)


@pytest.mark.usefixtures("cluster")
def test_a_storm_of_back_pressure_from_serve(ask: Callable[..., Rows], tmp_path: Path) -> None:
    """32 images in flight at a replica that takes two and queues two, and no attempt to spare."""
    from ray import serve

    from gdrl.distributed.replica import MLLM

    recipe = MLLMRecipe(model=str(tmp_path))
    deployment = MLLM.options(max_ongoing_requests=2, max_queued_requests=2)
    serve.start(proxy_location="Disabled")
    app = deployment.bind(recipe, 2, 1, f"{ENGINES}:Logging")
    serve.run(app, name=SHARED_APP, route_prefix=None)
    try:
        rows = ask("Logging", attempts=1)
    finally:
        serve.delete(SHARED_APP)
    assert_whole(rows)
    assert {row["attempts"] for row in rows} == {1}
    assert_asked_once(tmp_path)


@pytest.mark.usefixtures("cluster")
def test_a_storm_of_back_pressure_over_http(ask: Callable[..., Rows], tmp_path: Path) -> None:
    rows = ask("Shedding", ENDPOINT, attempts=1)
    assert_whole(rows)
    assert {row["attempts"] for row in rows} == {1}
    assert_asked_once(tmp_path)


@contextmanager
def driver(storage: Storage, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a private cluster of its own; killed at the end, where it still runs."""
    command = [sys.executable, "-m", "tests.faults.stream_driver", storage.uri]
    command += [storage.s3.model_dump_json(), str(folder), str(NUM_IMAGES)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_driver_killed_and_started_again(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What was committed is never asked again; a part and what was in flight may be."""
    storage = Storage(str(tmp_path / "runs"))
    if kind == "s3":
        seaweed = request.getfixturevalue("seaweed")
        storage = Storage(f"s3://{seaweed.bucket()}/runs", seaweed.s3)
    finish_dataset(storage, write_images)
    cache = AnswerCache(storage, str(tmp_path), "1")
    with driver(storage, tmp_path) as killed:
        while len(cache.known()) < 64:
            assert killed.poll() is None
            time.sleep(0.1)
    time.sleep(2)  # a replica outlives its driver by a moment
    committed, before = len(cache.known()), answered(tmp_path)
    assert len(before) < NUM_IMAGES * len(ATTRIBUTES)
    with driver(storage, tmp_path) as resumed:
        assert resumed.wait() == 0
    assert_whole(pq.read_table(tmp_path / "rows.parquet").to_pylist())
    log = answered(tmp_path)
    assert len(log) == len(before) + NUM_IMAGES * len(ATTRIBUTES) - committed
    assert max(Counter(log).values()) <= 2
    blocks_at_hand = 2 + 2  # at the asking actor, and answered but not yet with the driver
    assert len(before) - committed <= len(ATTRIBUTES) * (32 + 32 * blocks_at_hand)
