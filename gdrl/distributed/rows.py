"""The rows of ``scores.parquet``: one per image and attribute, answered or not."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from gdrl.distributed.serve import Serving
from gdrl.mllm.engine import Answer
from gdrl.mllm.questions import QUESTION_VERSION, expectation

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("attribute", pa.string()),
        ("probabilities", pa.list_(pa.float32())),  # of the levels 0 to 5; null unless ok
        ("expectation", pa.float32()),  # 0 to 5; null unless ok
        ("status", pa.string()),  # ok, unparsable, refused or failed
        ("reason", pa.string()),
        ("attempts", pa.int32()),
        ("latency_ms", pa.float32()),  # of the image's request, retries included
        ("model", pa.string()),
        ("revision", pa.string()),
        ("question_version", pa.string()),
    ]
)


@dataclass(frozen=True)
class Reply:
    """What became of one image's queries: an answer each, in order."""

    answers: tuple[Answer, ...]
    attempts: int
    latency_seconds: float


def rows_of(
    ids: Sequence[int], replies: Sequence[Reply], attributes: Sequence[str], serving: Serving
) -> pa.Table:
    """The rows of some images: ``len(ids) * len(attributes)``, images in the order given."""
    asked = [
        (id_, attribute, answer, reply)
        for id_, reply in zip(ids, replies, strict=True)
        for attribute, answer in zip(attributes, reply.answers, strict=True)
    ]
    columns = {
        "id": [id_ for id_, _, _, _ in asked],
        "attribute": [attribute for _, attribute, _, _ in asked],
        "probabilities": [answer.probabilities for _, _, answer, _ in asked],
        "expectation": [_expectation(answer) for _, _, answer, _ in asked],
        "status": [answer.status for _, _, answer, _ in asked],
        "reason": [answer.reason for _, _, answer, _ in asked],
        "attempts": [reply.attempts for _, _, _, reply in asked],
        "latency_ms": [1000 * reply.latency_seconds for _, _, _, reply in asked],
        "model": [serving.model] * len(asked),
        "revision": [serving.revision] * len(asked),
        "question_version": [QUESTION_VERSION] * len(asked),
    }
    return pa.table(columns, schema=SCHEMA)


def _expectation(answer: Answer) -> float | None:
    return expectation(answer) if answer.status == "ok" else None
