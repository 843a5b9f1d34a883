"""The rows of ``scores.parquet``: one per image and attribute, answered or not."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from gdrl.distributed.answers import PART
from gdrl.distributed.serve import Serving
from gdrl.mllm.engine import Answer
from gdrl.mllm.questions import QUESTION_VERSION

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("attribute", pa.string()),
        ("probabilities", pa.list_(pa.float32())),  # of the levels 0 to 5; null unless ok
        ("expectation", pa.float32()),  # 0 to 5; null unless ok
        ("status", pa.string()),  # ok, unparsable, refused or failed
        ("reason", pa.string()),
        ("attempts", pa.int32()),  # 0: the answer was known
        ("latency_ms", pa.float32()),  # of the image's request, retries and waiting included
        ("model", pa.string()),
        ("revision", pa.string()),
        ("question_version", pa.string()),
    ]
)

BLOCK = SCHEMA.append(PART.field("key")).append(pa.field("gave_up", pa.bool_()))
"""What the asking actor sends: rows with the keys of their answers, and whether it gave up."""


@dataclass(frozen=True)
class Reply:
    """What became of one image's queries: an answer each, in order."""

    answers: tuple[Answer, ...]
    attempts: tuple[int, ...]
    """Of each query; 0 where its answer was known."""
    latency_seconds: float
    gave_up: bool = False
    """Whether some were not asked because the service was given up."""


def block_of(
    ids: Sequence[int],
    keys: Sequence[Sequence[bytes]],
    replies: Sequence[Reply],
    attributes: Sequence[str],
    serving: Serving,
) -> pa.Table:
    """The rows of some images: ``len(ids) * len(attributes)``, images in the order given."""
    width, size = len(attributes), len(ids) * len(attributes)
    answers = [answer for reply in replies for answer in reply.answers]
    columns = {
        "id": np.repeat(np.asarray(ids, np.int64), width),
        "attribute": [*attributes] * len(ids),
        "probabilities": [answer.probabilities for answer in answers],
        "expectation": [_expectation(answer) for answer in answers],
        "status": [answer.status for answer in answers],
        "reason": [answer.reason for answer in answers],
        "attempts": [attempts for reply in replies for attempts in reply.attempts],
        "latency_ms": np.repeat([1000 * reply.latency_seconds for reply in replies], width),
        "model": [serving.model] * size,
        "revision": [serving.revision] * size,
        "question_version": [QUESTION_VERSION] * size,
        "key": [key for row in keys for key in row],
        "gave_up": np.repeat([reply.gave_up for reply in replies], width),
    }
    return pa.table(columns, schema=BLOCK)


def _expectation(answer: Answer) -> float | None:
    """Of the probabilities as stored (float32): the same number now and from the cache."""
    if answer.probabilities is None:
        return None
    stored = np.asarray(answer.probabilities, np.float32).astype(np.float64)
    return float(np.arange(len(stored)) @ stored)
