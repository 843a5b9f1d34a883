"""Answers by content, in storage: whatever was answered once is never asked again.

``mllm-cache/{model}/{revision}/{question version}/part-….parquet``, a row per answer. Parts are
immutable and may be deleted at any time, at the price of asking again.
"""

import hashlib
import io
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gdrl.artifacts import Storage, open_store
from gdrl.errors import ArtifactCorrupt
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.questions import QUESTION_VERSION
from gdrl.pipeline import ANSWERS

KEY_BYTES = 32
PART = pa.schema(
    [
        ("key", pa.binary(KEY_BYTES)),
        ("status", pa.string()),  # ok, unparsable or refused: the model's own; never failed
        ("probabilities", pa.list_(pa.float32())),
        ("reason", pa.string()),
    ]
)

_READERS = 8
"""Parts read at once: an object store answers each in tens of milliseconds."""


class KnownAnswers:
    """Answers by key, about 70 bytes each; a lookup is a binary search."""

    def __init__(self, rows: pa.Table) -> None:
        keys = np.array(rows.column("key").to_pylist(), dtype=f"S{KEY_BYTES}")
        order = np.argsort(keys)
        self._keys = keys[order]
        self._rows = rows.drop_columns("key").take(pa.array(order)).combine_chunks()

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: bytes) -> Answer | None:
        """What was answered; None where nothing was."""
        wanted = np.bytes_(key.rstrip(b"\0"))  # NumPy drops trailing zeros from bytes
        row = int(np.searchsorted(self._keys, wanted))
        if row == len(self._keys) or self._keys[row] != wanted:
            return None
        (found,) = self._rows.slice(row, 1).to_pylist()
        probabilities = found["probabilities"]
        return Answer(
            found["status"],
            None if probabilities is None else tuple(probabilities),
            found["reason"],
        )


@dataclass(frozen=True)
class AnswerCache:
    """The answers of one model and revision below a storage's root. Small; pickles."""

    storage: Storage
    model: str
    revision: str
    """Empty where the service does not say; delete the folder when its weights change then."""

    @property
    def folder(self) -> str:
        """The key below the storage's root."""
        return answer_folder(self.model, self.revision)

    def key(self, query: Query) -> bytes:
        """Sha256 of all that an answer depends on: model, wording, options and pictures."""
        text = [self.model, self.revision, query.version, query.question, *query.options]
        digest = hashlib.sha256(json.dumps(text).encode())
        for image in query.images:
            digest.update(hashlib.sha256(image).digest())
        return digest.digest()

    def known(self) -> KnownAnswers:
        """All answers so far.

        Raises:
            ArtifactCorrupt: naming a part that cannot be read.
        """
        names = open_store(self.storage).names(self.folder)
        with ThreadPoolExecutor(_READERS) as readers:
            parts = list(readers.map(self._read, names))
        return KnownAnswers(pa.concat_tables([PART.empty_table(), *parts]))

    def add(self, rows: pa.Table) -> None:
        """Commit answers as one new part; ``rows`` has the columns of :data:`PART`, and others."""
        content = io.BytesIO()
        pq.write_table(rows.select(PART.names).cast(PART), content, compression="zstd")
        name = f"part-{uuid.uuid4().hex}.parquet"
        open_store(self.storage).create(f"{self.folder}/{name}", content.getvalue())

    def _read(self, name: str) -> pa.Table:
        content = open_store(self.storage).read(f"{self.folder}/{name}")
        if content is None:  # deleted since it was listed
            return PART.empty_table()
        try:
            return pq.read_table(io.BytesIO(content), schema=PART)
        except pa.ArrowInvalid as error:
            raise ArtifactCorrupt(
                f"{self.storage / self.folder}/{name} cannot be read ({error}); delete it, its "
                "answers are then asked for again"
            ) from error


def answer_folder(model: str, revision: str) -> str:
    """Where a model's answers to today's wording lie, below a storage's root."""
    return f"{ANSWERS}/{_slug(model)}/{_slug(revision)}/{QUESTION_VERSION}"


def _slug(text: str) -> str:
    """A model's name or path as one folder's name; keys tell apart what a slug does not."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[-80:] or "unnamed"


class Parts:
    """Gathers new answers, and commits them by the part."""

    def __init__(self, cache: AnswerCache, images_per_part: int) -> None:
        self._cache = cache
        self._images_per_part = images_per_part
        self._waiting: list[pa.Table] = []
        self._images = 0

    def add(self, block: pa.Table) -> None:
        """Keep what of a block is the model's own answer, and new; ``attempts`` is 0 for known."""
        asked = pc.greater(block.column("attempts"), 0)
        answered = pc.not_equal(block.column("status"), "failed")
        new = block.filter(pc.and_(asked, answered))
        if new.num_rows:
            self._waiting.append(new)
            self._images += pc.count_distinct(new.column("id")).as_py()
        if self._images >= self._images_per_part:
            self.flush()

    def flush(self) -> None:
        """Commit what is waiting."""
        if self._waiting:
            self._cache.add(pa.concat_tables(self._waiting))
        self._waiting, self._images = [], 0
