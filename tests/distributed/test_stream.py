import asyncio
import itertools
import random
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gdrl.artifacts import Storage, open_store
from gdrl.config import MLLMRecipe, MLLMScale, StreamScale
from gdrl.distributed.answers import AnswerCache
from gdrl.distributed.client import Client
from gdrl.distributed.images import image_blocks
from gdrl.distributed.serve import serving
from gdrl.distributed.stream import score_stream
from gdrl.errors import ArtifactCorrupt, DataError, EndpointError
from gdrl.mllm.engine import Answer
from gdrl.mllm.questions import QUESTION_VERSION, score_query
from tests.distributed.engines import answered, known, level_of

ENGINES = "tests.distributed.engines"
ENDPOINT = "http://localhost:1/v1"
ATTRIBUTES = ("hat", "smile", "beard")
STATUS = {b"malformed": "unparsable", b"refused": "refused", b"broken": "failed"}
"""By the end of a picture's name; none of it is the service's fault."""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "runs"))


@pytest.fixture
def ask(write_images, storage, tmp_path):
    """Ask a logging engine about some of 40 images: ``ask(ids, attributes)`` -> rows."""
    images = write_images([b"image-%d" % i for i in range(40)])
    recipe = MLLMRecipe(model=str(tmp_path), endpoint=ENDPOINT)

    def ask(ids, attributes, engine="Logging", **scale):
        with serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:{engine}") as mllm:
            blocks = score_stream(images, ids, attributes, mllm, StreamScale(**scale), storage)
            return pa.concat_tables(blocks).to_pylist()

    return ask


@pytest.mark.usefixtures("cluster")
def test_reading_leaves_the_other_cpus_to_trainers(write_images) -> None:
    """Ray Data holds to this limit; `benchmarks/streaming.py --parts replicas` shows the effect."""
    folder = write_images([b"image"])
    blocks = image_blocks(folder, np.arange(1), cpus_after=0.1)
    assert blocks.context.execution_options.resource_limits.cpu == pytest.approx(1.1)


@pytest.mark.usefixtures("cluster")
def test_every_question_gets_one_row_whatever_happens(write_images, storage):
    """A fifth of the calls raise, one hangs past the timeout, and some pictures are trouble."""
    kinds = [*[b"fine"] * 12, *STATUS] * 2 + [*[b"fine"] * 14, b"malformed", b"refused"] * 6
    images = [b"image %d-%s" % (i, kind) for i, kind in enumerate(kinds)]
    ids = random.Random(0).sample(range(len(images)), 100)
    with serving(MLLMRecipe(), MLLMScale(batch_size=8), open_engine=f"{ENGINES}:Unsteady") as mllm:
        scale = StreamScale(max_in_flight=16, attempts=6, timeout_seconds=2)
        blocks = score_stream(write_images(images), ids, ATTRIBUTES, mllm, scale, storage)
        rows = pa.concat_tables(blocks).to_pylist()
    assert sorted({row["id"] for row in rows}) == sorted(ids)
    assert [row["attribute"] for row in rows] == [*ATTRIBUTES] * 100
    assert len({(row["id"], row["attribute"]) for row in rows}) == len(rows)
    for row in rows:
        kind = images[row["id"]].rsplit(b"-", 1)[1]
        assert row["status"] == STATUS.get(kind, "ok"), row
        if row["status"] == "ok":
            question = score_query(images[row["id"]], row["attribute"]).question
            assert row["expectation"] == level_of(images[row["id"]], question, 6)
            assert sum(row["probabilities"]) == pytest.approx(1)
        else:
            assert row["reason"]
            assert row["probabilities"] is None
            assert row["expectation"] is None
    assert max(row["attempts"] for row in rows if row["status"] == "ok") > 1
    assert {row["model"] for row in rows} == {"embedded"}
    assert {row["question_version"] for row in rows} == {QUESTION_VERSION}


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("endpoint", ["", ENDPOINT], ids=["deployment", "endpoint"])
def test_a_service_that_never_answers_stops_the_stream(write_images, storage, endpoint):
    recipe, scale = MLLMRecipe(endpoint=endpoint), StreamScale(timeout_seconds=5)
    images = write_images([b"%d" % i for i in range(64)])
    with (
        serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:Down") as mllm,
        pytest.raises(EndpointError, match=r"connection refused.*same command again"),
    ):
        list(score_stream(images, range(64), ["hat"], mllm, scale, storage))


@pytest.mark.usefixtures("cluster")
def test_ids_that_are_not_there_are_refused(ask):
    with pytest.raises(DataError, match="some are the same"):
        ask([1, 1], ["hat"])
    with pytest.raises(DataError, match="1 image ids are not in the dataset; one is 77"):
        ask([1, 77], ["hat"])


@pytest.mark.usefixtures("cluster")
def test_what_was_answered_is_never_asked_again(ask, tmp_path):
    first = ask(range(20), ["hat", "smile"])
    again = ask(range(20), ["hat", "smile"])
    assert len(answered(tmp_path)) == 40
    assert {row["attempts"] for row in first} == {1}
    assert {row["attempts"] for row in again} == {0}, "0 says that the answer was known"
    told = ("id", "attribute", "status", "probabilities", "expectation", "reason")
    assert sorted([row[name] for name in told] for row in first) == sorted(
        [row[name] for name in told] for row in again
    )
    ask(range(30), ["smile", "beard"])  # 10 new images, and a new attribute of 20 known ones
    assert len(answered(tmp_path)) == 40 + 2 * 10 + 20
    assert len(set(answered(tmp_path))) == len(answered(tmp_path))


@pytest.mark.usefixtures("cluster")
def test_nonsense_is_kept_as_an_answer_and_a_failure_is_not(ask):
    nonsense = [row for row in ask(range(40), ["hat"], "Malformed") if row["status"] != "ok"]
    assert {row["status"] for row in nonsense} == {"unparsable"}
    again = ask(range(40), ["hat"], "Malformed")
    assert {row["attempts"] for row in again} == {0}
    assert next(row for row in again if row["status"] != "ok")["reason"] == "no digit"
    with pytest.raises(EndpointError):
        ask(range(40), ["beard"], "Down")
    assert {row["attempts"] for row in ask(range(40), ["beard"])} == {1}


@pytest.mark.usefixtures("cluster")
def test_a_reader_who_has_seen_enough_leaves_nothing_unkept(write_images, storage, tmp_path):
    images = write_images([b"image-%d" % i for i in range(400)])
    recipe, scale = MLLMRecipe(model=str(tmp_path), endpoint=ENDPOINT), StreamScale()
    with serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:Slow") as mllm:
        blocks = score_stream(images, range(400), ["hat"], mllm, scale, storage)
        seen = pc.count_distinct(next(blocks).column("id")).as_py()
        blocks.close()
    cache = AnswerCache(storage, str(tmp_path), "1")
    assert len(cache.known()) == seen < len(answered(tmp_path)) + 1 < 400


def test_answers_come_in_parts_and_a_broken_part_is_named(storage):
    cache = AnswerCache(storage, "Qwen/Qwen3-VL", "")
    query = score_query(b"image", "hat")
    assert cache.known().get(cache.key(query)) is None
    rows = {
        "key": [cache.key(query)],
        "status": ["ok"],
        "probabilities": [[0.0, 0.25, 0.75, 0.0, 0.0, 0.0]],
        "reason": [""],
    }
    cache.add(pa.table(rows))
    assert cache.known().get(cache.key(query)).probabilities == (0, 0.25, 0.75, 0, 0, 0)
    cache.add(pa.table(rows | {"key": [b"\1" * 31 + b"\0"]}))
    assert cache.known().get(b"\1" * 31 + b"\0"), "a key may end in a zero"
    other = AnswerCache(storage, "Qwen-Qwen3-VL", "")
    assert other.folder == cache.folder, "one folder for two models"
    assert other.known().get(other.key(query)) is None, "and still no answer of another model"
    open_store(storage).create(f"{cache.folder}/part-broken.parquet", b"PAR1 no")
    with pytest.raises(ArtifactCorrupt, match=r"part-broken\.parquet.*delete it"):
        cache.known()


QUERIES = [score_query(b"image", attribute) for attribute in ATTRIBUTES]


async def reply_of(client, image, queries):
    return (await client.replies({image: queries}))[image]


def test_only_what_failed_is_asked_again():
    asked = []

    async def ask(queries):
        asked.append(len(queries))
        if len(asked) == 1:
            raise ConnectionResetError
        if len(asked) == 2:
            return [known(queries[0]), Answer("refused"), Answer("failed")]
        return [known(query) for query in queries]

    (reply,) = asyncio.run(Client(ask, StreamScale()).replies({0: QUERIES})).values()
    assert asked == [3, 3, 1]
    assert reply.attempts == (2, 2, 3)
    assert reply.answers == (known(QUERIES[0]), Answer("refused"), known(QUERIES[2]))


def test_a_service_that_asks_for_time_gets_it_and_no_attempt_is_spent():
    asked = []

    async def ask(queries):
        asked.append(time.monotonic())
        if len(asked) < 8:
            return [Answer("failed", reason="HTTP 429", retry_after_seconds=0.05)] * len(queries)
        return [known(query) for query in queries]

    client = Client(ask, StreamScale(attempts=1))
    (reply,) = asyncio.run(client.replies({0: QUERIES})).values()
    assert reply.attempts == (1, 1, 1)
    assert reply.answers == tuple(known(query) for query in QUERIES)
    assert all(later - sooner >= 0.05 for sooner, later in itertools.pairwise(asked))


def test_an_outage_costs_nobody_an_attempt_and_one_at_a_time_asks_whether_it_is_over():
    """Of 12 images, with one attempt in hand each; the service goes away for a second."""
    concurrent, most, sent = 0, [], []
    began = time.monotonic()

    async def ask(queries):
        nonlocal concurrent
        concurrent += 1
        await asyncio.sleep(0.01)
        now = time.monotonic() - began
        sent.append(now)
        if 0.5 < now < 1.0:
            most.append(concurrent)
        concurrent -= 1
        if 0.1 < now < 1.0:
            raise ConnectionRefusedError
        return [known(query) for query in queries]

    async def stream():
        client = Client(ask, StreamScale(attempts=4))
        first = await reply_of(client, -1, QUERIES)
        await asyncio.sleep(0.1)
        return [first, *await asyncio.gather(*(reply_of(client, i, QUERIES) for i in range(12)))]

    replies = asyncio.run(stream())
    assert {answer.status for reply in replies for answer in reply.answers} == {"ok"}
    assert set(most) <= {1}
    assert len([now for now in sent if 0.1 < now < 1.0]) < 30


def test_an_outage_without_end_is_given_up_by_everybody_at_once():
    sent = []

    async def ask(queries):
        sent.append(time.monotonic())
        if len(sent) > 1:
            raise ConnectionRefusedError("connection refused")
        return [known(query) for query in queries]

    async def stream():
        client = Client(ask, StreamScale(outage_seconds=0.5))
        first = await reply_of(client, -1, QUERIES)
        return first, await asyncio.gather(*(reply_of(client, i, QUERIES) for i in range(12)))

    first, replies = asyncio.run(stream())
    assert not first.gave_up
    assert all(reply.gave_up for reply in replies)
    assert {answer.status for reply in replies for answer in reply.answers} == {"failed"}
    assert len(sent) < 40


@pytest.mark.parametrize("lost", [True, False], ids=["raised", "answered"])
def test_images_of_no_use_fail_alone(lost):
    """Two that break the engine are no outage yet; four that it cannot read are, and end."""

    async def ask(queries):
        if queries[0].images == (b"poison",):
            if lost:
                raise OSError("cannot decode")
            return [Answer("failed", reason="cannot decode")] * len(queries)
        return [known(query) for query in queries]

    poison = [score_query(b"poison", "hat")]

    async def stream():
        client = Client(ask, StreamScale(attempts=2))
        fine = await reply_of(client, -1, QUERIES)
        images = range(2 if lost else 4)
        return fine, await asyncio.gather(*(reply_of(client, i, poison) for i in images))

    fine, failed = asyncio.run(stream())
    assert {answer.status for answer in fine.answers} == {"ok"}
    assert {reply.answers for reply in failed} == {
        (Answer("failed", reason="cannot decode", lost=lost),)
    }
    assert {reply.attempts for reply in failed} == {(2,)}
    assert not any(reply.gave_up for reply in failed)


def test_what_the_engine_cannot_bear_does_not_take_its_neighbours_down():
    """Eight images travel together until they are lost; then each for itself."""
    asked = []

    async def ask(queries):
        asked.append([query.images[0] for query in queries])
        if b"poison" in asked[-1]:
            raise OSError("the engine died")
        return [known(query) for query in queries]

    images = [b"image-%d" % i for i in range(7)] + [b"poison"]
    queries = {i: [score_query(image, "hat")] for i, image in enumerate(images)}
    replies = asyncio.run(Client(ask, StreamScale(attempts=3)).replies(queries))
    assert asked[0] == images
    assert sorted(asked[1:]) == sorted([[image] for image in images] + [[b"poison"]])
    assert [replies[i].answers for i in range(7)] == [(known(queries[i][0]),) for i in range(7)]
    assert {replies[i].attempts for i in range(7)} == {(2,)}
    assert replies[7].answers == (Answer("failed", reason="the engine died", lost=True),)
    assert replies[7].attempts == (3,)


def test_images_that_are_turned_away_stay_together():
    """Apart, they would ask a busy service for more."""
    asked = []

    async def ask(queries):
        asked.append(len(queries))
        if len(asked) < 3:
            return [Answer("failed", reason="HTTP 429", retry_after_seconds=0.01)] * len(queries)
        return [known(query) for query in queries]

    queries = dict.fromkeys(range(4), QUERIES)
    asyncio.run(Client(ask, StreamScale(attempts=1)).replies(queries))
    assert asked == [12, 12, 12]


def test_a_service_that_answered_before_is_asked_about_images_of_no_use_to_the_end():
    """All that is left of a stream that stopped: without its past, this were an endpoint down."""

    async def ask(queries):
        return [Answer("failed", reason="HTTP 400")] * len(queries)

    async def stream():
        client = Client(ask, StreamScale(attempts=2), ever_answered=True)
        return await asyncio.gather(*(reply_of(client, i, QUERIES) for i in range(4)))

    replies = asyncio.run(stream())
    assert not any(reply.gave_up for reply in replies)
    assert {reply.attempts for reply in replies} == {(2, 2, 2)}
