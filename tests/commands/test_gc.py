import json
import os
from collections.abc import Callable

import pytest
from small_artifact import describe, finish

from gdrl import garbage
from gdrl.artifacts import LocalStore, Run, Storage, Store

Gdrl = Callable[..., str]

NEEDED = (
    "demo/attempts/0001/config.json",
    "mllm-cache/llava/r1/1/part-a.parquet",
    "photographs/dataset/1.png",
    "demo/training/train_graph/checkpoint/state.bin",
)
UNFINISHED = "demo/graph/0001-beef/graph.json"
"""Left by a killed upload to a bucket; in a folder, where no commit leaves it, somebody's own."""

NOT_NEEDED = {
    "demo/training/train_vae/checkpoint/state.bin": "vae is finished",
    "demo/vae/0002-beef/deep/model.txt": "not in the manifest of vae",
    "mllm-cache/llava/r2/1/part-b.parquet": "no finished scores come from it",
}


@pytest.fixture
def littered(filled: Store) -> Run:
    """A run with two finished artifacts, in a storage where much else lies about."""
    run = Run(filled, "demo")
    finish(run)
    out = run.begin("scores", "score_images")
    (out.path / "scores.json").write_text(json.dumps({"answers": "mllm-cache/llava/r1/1"}))
    run.commit(out, describe(out))
    for key in (*NEEDED, UNFINISHED, *NOT_NEEDED):
        filled.create(key, b"0123456789")
    return run


@pytest.fixture
def not_needed(storage: Storage) -> dict[str, str]:
    """Keys and reasons, in order of key."""
    return ({UNFINISHED: "graph has no manifest"} if storage.is_remote else {}) | NOT_NEEDED


def keys(store: Store) -> set[str]:
    return {stored.key for name in store.names("") for stored in store.objects(name)}


def test_gc_says_what_is_not_needed_and_why(
    gdrl: Gdrl, littered: Run, not_needed: dict[str, str]
) -> None:
    before = keys(littered.store)
    *rows, total = gdrl("gc", "--older-than", "0").splitlines()
    reasons = {"/".join(key.split("/")[:3]): reason for key, reason in not_needed.items()}
    assert [row.split(maxsplit=3) for row in rows] == [
        [key, "10", "B", reason] for key, reason in reasons.items()
    ]
    number = len(not_needed)
    assert total == f"--delete would delete {number} files, {10 * number} B"
    assert keys(littered.store) == before


def test_gc_deletes_that_and_nothing_else(
    gdrl: Gdrl, littered: Run, not_needed: dict[str, str]
) -> None:
    before, number = keys(littered.store), len(not_needed)
    said = gdrl("gc", "--older-than", "0", "--delete")
    assert said.endswith(f"deleted {number} files, {10 * number} B\n")
    assert keys(littered.store) == before - set(not_needed)
    assert (littered.open("vae") / "deep/model.txt").read_text() == "a model"
    assert gdrl("gc", "--older-than", "0") == "nothing to delete\n"


@pytest.mark.usefixtures("littered")
def test_gc_spares_what_is_young(gdrl: Gdrl) -> None:
    assert gdrl("gc", "--delete") == "nothing to delete\n"


def test_gc_spares_a_folder_of_which_one_file_is_young(store: LocalStore) -> None:
    finish(Run(store, "demo"))
    for key in ("demo/attempts/0001/config.json", "demo/vae/a/old", "demo/vae/a/new"):
        store.create(key, b"")
    os.utime(store.location("demo/vae/a/old").uri, (0, 0))
    assert garbage.find(store) == []
    os.utime(store.location("demo/vae/a/new").uri, (0, 0))
    assert [found.key for found in garbage.find(store)] == ["demo/vae/a"]
