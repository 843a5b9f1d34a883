import json
import os
import stat

import pytest
from pydantic import ValidationError
from small_artifact import finish

from gdrl.artifacts import (
    FileEntry,
    LocalStore,
    Run,
    Storage,
    fingerprint,
    open_store,
    plain_metrics,
)
from gdrl.errors import ArtifactCorrupt, ConfigError


@pytest.fixture
def run(store: LocalStore) -> Run:
    return Run(store, "demo")


def test_a_manifest_lists_each_file(run: Run) -> None:
    files = json.loads((finish(run) / "manifest.json").read_text())["files"]
    assert [(entry["path"], entry["size"]) for entry in files] == [
        ("deep/model.txt", 7),
        ("index.html", 3),
    ]


def test_a_folder_without_manifest_never_began(run: Run, store: LocalStore) -> None:
    leftover = store.root / "demo/vae/half.txt"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    assert run.manifest("vae") is None
    assert not (finish(run) / "half.txt").exists()


def test_a_flipped_byte_is_found_and_named(run: Run) -> None:
    path = finish(run) / "deep/model.txt"
    path.write_text("a modem")
    os.utime(path, ns=(1, 1))
    with pytest.raises(
        ArtifactCorrupt, match=r"deep/model\.txt differs from its manifest in sha256"
    ):
        run.open("vae")


def test_a_truncated_and_a_lost_file_are_named(run: Run) -> None:
    path = finish(run) / "deep/model.txt"
    path.write_text("a mod")
    with pytest.raises(ArtifactCorrupt, match=r"deep/model\.txt has 5 bytes, its manifest says 7"):
        run.open("vae")
    path.unlink()
    with pytest.raises(ArtifactCorrupt, match=r"deep/model\.txt is missing"):
        run.open("vae")


def test_others_may_read_what_was_committed(run: Run, store: LocalStore) -> None:
    folder = finish(run)
    run.attempt({})
    for path in (folder / "manifest.json", store.root / "demo/attempts/0001/config.json"):
        assert path.stat().st_mode & stat.S_IRGRP


def test_a_fingerprint_depends_on_stage_recipe_and_inputs_alone() -> None:
    one = fingerprint("s", {"recipe.a": {"x": 1, "y": [1.5]}}, {"i": "0"})
    assert one == fingerprint("s", {"recipe.a": {"y": [1.5], "x": 1}}, {"i": "0"})
    others = [
        fingerprint("t", {"recipe.a": {"x": 1, "y": [1.5]}}, {"i": "0"}),
        fingerprint("s", {"recipe.a": {"x": 2, "y": [1.5]}}, {"i": "0"}),
        fingerprint("s", {"recipe.a": {"x": 1, "y": [1.5]}}, {"i": "1"}),
    ]
    assert len({one, *others}) == 4


def test_metrics_become_json_numbers() -> None:
    np = pytest.importorskip("numpy")
    metrics = plain_metrics({"a": np.float64(0.5), "b": 3, "c": float("nan"), "d": float("-inf")})
    assert metrics == {"a": 0.5, "b": 3, "c": None, "d": None}
    assert [type(value) for value in metrics.values()] == [float, int, type(None), type(None)]


@pytest.mark.parametrize("uri", ["gs://bucket/runs", "hdfs://runs", "s3://"])
def test_another_kind_of_storage_is_refused_by_name(uri: str) -> None:
    with pytest.raises(ConfigError, match=rf"storage = '{uri}': name a folder, or s3://bucket"):
        open_store(Storage(uri))


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_file_lies_outside_its_artifact(path: str) -> None:
    with pytest.raises(ValidationError, match="leads out of the artifact's folder"):
        FileEntry(path=path, size=0, sha256="0" * 64)
