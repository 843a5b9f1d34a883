import asyncio
import random

import pytest

from gdrl.config import MLLMRecipe, MLLMScale, StreamScale
from gdrl.distributed.asking import ask_patiently
from gdrl.distributed.serve import serving
from gdrl.distributed.stream import score_stream
from gdrl.errors import DataError, EndpointError
from gdrl.mllm.engine import Answer
from gdrl.mllm.questions import QUESTION_VERSION, score_query
from tests.distributed.engines import known, level_of

ENGINES = "tests.distributed.engines"
ATTRIBUTES = ("hat", "smile", "beard")
STATUS = {b"malformed": "unparsable", b"refused": "refused", b"broken": "failed"}


@pytest.mark.usefixtures("cluster")
def test_every_question_gets_one_row_whatever_happens(write_images):
    """A fifth of the calls raise, one hangs past the timeout, and some pictures are trouble."""
    images = [b"image %d-%s" % (i, kind) for i, kind in enumerate([*[b"fine"] * 12, *STATUS] * 8)]
    ids = random.Random(0).sample(range(len(images)), 100)
    counts = []
    with serving(MLLMRecipe(), MLLMScale(batch_size=8), open_engine=f"{ENGINES}:unsteady") as mllm:
        scale = StreamScale(max_in_flight=16, attempts=6, timeout_seconds=2)
        table = score_stream(
            write_images(images), ids, ATTRIBUTES, mllm, scale, lambda *done: counts.append(done)
        )
    rows = table.to_pylist()
    expected = [(id_, attribute) for id_ in ids for attribute in ATTRIBUTES]
    assert [(row["id"], row["attribute"]) for row in rows] == expected
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
    assert counts[-1] == (100, 100)
    assert len(counts) > 1


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("endpoint", ["", "http://localhost:1/v1"], ids=["deployment", "endpoint"])
def test_a_service_that_is_down_stops_the_stream(write_images, endpoint):
    recipe, scale = MLLMRecipe(endpoint=endpoint), StreamScale(attempts=2, timeout_seconds=5)
    with (
        serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:down") as mllm,
        pytest.raises(EndpointError, match=r"connection refused.*same command again"),
    ):
        score_stream(write_images([b"%d" % i for i in range(64)]), range(64), ["hat"], mllm, scale)


@pytest.mark.usefixtures("cluster")
def test_ids_that_are_not_there_are_refused(write_images):
    recipe, images = MLLMRecipe(endpoint="http://localhost:1/v1"), write_images([b"a", b"b"])
    with serving(recipe, MLLMScale(), open_engine=f"{ENGINES}:steady") as mllm:
        with pytest.raises(DataError, match="some are the same"):
            score_stream(images, [1, 1], ["hat"], mllm, StreamScale())
        with pytest.raises(DataError, match="1 image ids are not in the dataset; one is 7"):
            score_stream(images, [1, 7], ["hat"], mllm, StreamScale())


def test_only_what_failed_is_asked_again():
    queries = [score_query(b"image", attribute) for attribute in ATTRIBUTES]
    asked = []

    async def ask(queries):
        asked.append(len(queries))
        if len(asked) == 1:
            raise ConnectionResetError
        if len(asked) == 2:
            return [known(queries[0]), Answer("refused"), Answer("failed")]
        return [known(query) for query in queries]

    reply = asyncio.run(ask_patiently(ask, queries, StreamScale(), random.Random(0)))
    assert asked == [3, 3, 1]
    assert reply.attempts == 3
    assert reply.answers == (known(queries[0]), Answer("refused"), known(queries[2]))
