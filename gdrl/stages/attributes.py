"""``recipe.attributes = "discover"``: the MLLM proposes what to ask about; a person may edit it.

A large model is asked openly about each picture of a sample, the embedded one offers its
vocabulary. Every candidate is then scored on the sample, and what varies is kept, once for each
meaning. To edit: take the list of ``scores/attributes.json`` into the recipe of a new run; answers
are kept, so that only new attributes are asked about.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64
from numpy import ndarray

from gdrl.artifacts import Inputs, Storage
from gdrl.config import RunConfig
from gdrl.data.scores import levels_of
from gdrl.distributed.serve import Serving
from gdrl.distributed.stream import score_stream
from gdrl.errors import DataError
from gdrl.mllm import embedded
from gdrl.mllm.proposals import count_phrases, parse_phrases, proposal_query
from gdrl.stages.witness import Ask

ATTRIBUTES = "attributes.json"
NUM_ASKED = 64
"""Images that a large model is asked openly about."""
NUM_SAMPLED = 256
"""Images that every candidate is scored on; the stage has the answers on what is kept for good."""
MAX_CANDIDATES = 40
"""Proposals that are scored, the most often named first."""
LEAST_SHOWN = 3
LEAST_SHARE = 0.05
"""Least share of the images with an attribute, and of those without it: what shows in none and is
answered wrongly at 3 % passes at 5 %, and what one in ten shows is missed at 0.1 %."""
SAME_CORRELATION = 0.8
"""From this magnitude on two attributes are one: synonyms, and opposites too.

Simulated, shown by 30 to 50 % of ``NUM_SAMPLED`` images: it joins 97 % of synonyms of which each is
answered wrongly at 3 %, all at 1 %, and 2 % of attributes that truly correlate at 0.7. On 64 images
it would be 83 % and 15 %. Of what few images show, more synonyms stay apart: 23 % at a fifth.
"""


@dataclass(frozen=True)
class Candidate:
    """A proposed attribute and what became of it."""

    name: str
    named_in: int
    """Images of ``NUM_ASKED`` whose reply names it; 0 where it is from the vocabulary."""
    shown_in: int
    """Images of the sample with a level above one half."""
    answered: int
    verdict: str
    """``kept``, ``does not vary``, or ``same as X (r = ...)``."""


def discover(
    config: RunConfig, inputs: Inputs, ids: Int64[ndarray, " images"], mllm: Serving, folder: Path
) -> tuple[str, ...]:
    """The attributes that the MLLM finds in the first ``NUM_SAMPLED`` of ``ids``.

    Writes ``attributes.json`` into ``folder``: every candidate, its counts and verdict.

    Raises:
        DataError: fewer than two attributes are left; names every candidate with its verdict.
    """
    sample = ids[:NUM_SAMPLED]
    if config.recipe.mllm.is_embedded:
        proposed = dict.fromkeys(embedded.known_attributes(), 0)
    else:
        proposed = _ask_openly(inputs["dataset"], sample[:NUM_ASKED], mllm.answer)
    names = tuple(proposed)
    levels = _score(config, inputs, sample, names, mllm) if names else np.empty((len(sample), 0))
    candidates = choose(proposed, levels)
    kept = tuple(c.name for c in candidates if c.verdict == "kept")
    record = {
        "attributes": kept,
        "num_images": len(sample),
        "candidates": [asdict(candidate) for candidate in candidates],
    }
    (folder / ATTRIBUTES).write_text(json.dumps(record, indent=2))
    if len(kept) < 2:
        # In full: the folder goes with the failed stage.
        verdicts = [
            f"  {c.name}: {c.verdict}, shown in {c.shown_in} of {c.answered}\n" for c in candidates
        ]
        raise DataError(
            f"recipe.attributes = discover: of {len(names)} attributes that {mllm.model} proposed "
            f"and {len(sample)} images were asked about, {len(kept)} can be kept; two are needed\n"
            f"{''.join(verdicts)}"
            "list in recipe.attributes what to ask about instead of discover"
        )
    return kept


def choose(
    proposed: Mapping[str, int], levels: Float[ndarray, "images attributes"]
) -> list[Candidate]:
    """A verdict on each proposal: does it vary, and is it one that was kept before?

    Args:
        proposed: names and how often each was named, the first to be preferred.
        levels: a column for each, in [0, 1]; NaN where unanswered.
    """
    candidates: list[Candidate] = []
    kept: dict[str, Float[ndarray, " images"]] = {}
    for (name, named_in), column in zip(proposed.items(), levels.T, strict=True):
        answered = int((~np.isnan(column)).sum())
        shown = int((column > 0.5).sum())
        twin = _twin(column, kept)
        if not _varies(column):
            verdict = "does not vary"
        elif twin:
            verdict = twin
        else:
            kept[name], verdict = column, "kept"
        candidates.append(Candidate(name, named_in, shown, answered, verdict))
    return candidates


def _varies(column: Float[ndarray, " images"]) -> bool:
    answered, shown = (~np.isnan(column)).sum(), (column > 0.5).sum()
    return bool(min(shown, answered - shown) >= max(LEAST_SHOWN, LEAST_SHARE * answered))


def _twin(column: Float[ndarray, " images"], kept: Mapping[str, Float[ndarray, " images"]]) -> str:
    """The kept attribute that ``column`` repeats, in words; empty where there is none."""
    for name, other in kept.items():
        both = ~np.isnan(column) & ~np.isnan(other)
        if not (_varies(column[both]) and _varies(other[both])):
            continue
        correlation = np.corrcoef(column[both], other[both])[0, 1]
        if abs(correlation) >= SAME_CORRELATION:
            return f"same as {name} (r = {correlation:.2f})"
    return ""


def _ask_openly(dataset: Path, sample: Int64[ndarray, " images"], ask: Ask) -> dict[str, int]:
    queries = [proposal_query(picture) for picture in _pictures(dataset, sample)]
    replies = [answer.reply for answer in ask(queries) if answer.status == "ok"]
    counts = count_phrases([parse_phrases(reply) or () for reply in replies])
    return dict(list(counts.items())[:MAX_CANDIDATES])


def _pictures(dataset: Path, ids: Int64[ndarray, " images"]) -> list[bytes]:
    only = [("id", "in", ids.tolist())]
    shards = sorted(dataset.glob("images-*.parquet"))
    tables = [pq.read_table(shard, columns=["image"], filters=only) for shard in shards]
    pictures: list[bytes] = pa.concat_tables(tables).column("image").to_pylist()
    return pictures


def _score(
    config: RunConfig,
    inputs: Inputs,
    sample: Int64[ndarray, " images"],
    names: Sequence[str],
    mllm: Serving,
) -> Float[ndarray, "images attributes"]:
    """Through the stream: what is asked here is known when all images are asked about."""
    dataset, storage = inputs.sources["dataset"], Storage.of(config)
    rows = score_stream(dataset, sample, names, mllm, config.scale.stream, storage)
    return levels_of(pa.concat_tables(rows), "expectation").reshape(-1, len(names))
