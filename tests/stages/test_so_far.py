import json

import numpy as np
import pyarrow as pa
import pytest

from gdrl.config import GraphRecipe
from gdrl.distributed.rows import SCHEMA
from gdrl.pipeline import SO_FAR
from gdrl.stages.so_far import SoFar, rounds, widest_interval

ATTRIBUTES = ("hat", "beard")
RECIPE = GraphRecipe(num_bootstrap=50, interval_width=0.2)


def rows(ids, attempts=1, status="ok", shaven=None):
    """Who has a hat has a beard, but for a fifth of the images."""
    random = np.random.default_rng(0)
    hat = random.integers(0, 2, 10_000)
    beard = np.where(random.random(10_000) < 0.2, 1 - hat, hat)
    if shaven is not None:
        beard[:shaven] = 0
    levels = 5.0 * np.stack([hat, beard], axis=1)[ids].ravel()
    size = len(levels)
    columns = {
        "id": np.repeat(ids, 2),
        "attribute": [*ATTRIBUTES] * len(ids),
        "probabilities": [None] * size,
        "expectation": levels if status == "ok" else [None] * size,
        "status": [status] * size,
        "reason": [""] * size,
        "attempts": [attempts] * size,
        "latency_ms": [1.0] * size,
        **{name: ["1"] * size for name in ("model", "revision", "question_version")},
    }
    return pa.table(columns, schema=SCHEMA)


@pytest.fixture
def so_far(store):
    return SoFar(ATTRIBUTES, 2000, RECIPE, store)


def lines(store):
    return [json.loads(line) for line in store.read(SO_FAR).decode().splitlines()]


def test_the_log_tells_how_far_it_is_and_the_graph_by_then(so_far, store):
    for start in range(0, 1536, 32):
        so_far.add(rows(np.arange(start, start + 32)))
    told = lines(store)
    assert [line["images"] for line in told] == [256, 512, 768, 1024, 1280, 1536]
    assert {line["of"] for line in told} == {2000}
    source, target, weight, lower, upper = told[0]["edges"][0]
    assert {source, target} == {"hat", "beard"}
    assert lower < weight < upper
    assert weight == pytest.approx(0.6, abs=0.1)
    widths = [line["widest_interval"] for line in told if "edges" in line]
    assert widths[-1] < widths[0], "more images, narrower intervals"


def test_the_graph_does_not_depend_on_the_order_of_answers(store):
    graphs = []
    for ids in (np.arange(200), np.random.default_rng(1).permutation(200)):
        so_far = SoFar(ATTRIBUTES, 200, RECIPE, store)
        so_far.add(rows(ids))
        graphs.append(so_far.graph())
    assert graphs[0].to_dict() == graphs[1].to_dict()


def test_it_is_enough_once_every_interval_is_narrower(so_far):
    enough = {}
    for some in rounds(np.arange(2000), first=64):
        so_far.add(rows(some))
        enough[so_far.num_images] = so_far.is_enough()
        assert enough[so_far.num_images] == (widest_interval(so_far.graph()) < 0.2)
    assert not enough[64]
    assert enough[2000]


def test_what_never_varied_is_no_evidence(so_far):
    for some in rounds(np.arange(2000), first=256):
        so_far.add(rows(some, shaven=300))
        if so_far.num_images <= 300:
            assert widest_interval(so_far.graph()) < 0.2
            assert not so_far.is_enough()
    assert so_far.is_enough()


def test_what_was_never_answered_is_no_evidence(so_far):
    so_far.add(rows(np.arange(256), status="failed"))
    assert not so_far.is_enough()


def test_known_and_unanswered_questions_are_told_apart(so_far):
    so_far.add(rows(np.arange(10)))
    so_far.add(rows(np.arange(10, 14), attempts=0))
    so_far.add(rows(np.arange(14, 15), status="failed"))
    assert so_far.counts == {"ok": 28, "failed": 2}
    assert so_far.num_known == 8
    assert so_far.num_images == 15


def test_rounds_hold_every_image_once_and_grow_by_a_quarter():
    ids = np.random.default_rng(0).permutation(5000)
    pieces = list(rounds(ids))
    assert np.concatenate(pieces).tolist() == ids.tolist()
    totals = np.cumsum([len(piece) for piece in pieces])
    assert totals[0] == 256
    assert (totals[1:] <= 1.25 * totals[:-1]).all()
