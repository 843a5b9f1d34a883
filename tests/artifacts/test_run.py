import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from pydantic import ValidationError
from small_artifact import finish

from gdrl.artifacts import (
    FileEntry,
    LocalStore,
    Manifest,
    Run,
    Storage,
    fingerprint,
    open_store,
    plain_metrics,
)
from gdrl.errors import ArtifactCorrupt, ConfigError, StorageError


@pytest.fixture
def run(store: LocalStore) -> Run:
    return Run(store, "demo")


def test_a_manifest_lists_each_file(run: Run) -> None:
    files = json.loads((finish(run) / "manifest.json").read_text())["files"]
    assert [(entry["path"], entry["size"]) for entry in files] == [
        ("deep/model.txt", 7),
        ("index.html", 3),
    ]


def test_a_folder_that_is_no_artifact_is_left_alone(run: Run, store: LocalStore) -> None:
    thesis = store.root / "demo/vae/thesis.txt"
    thesis.parent.mkdir(parents=True)
    assert run.manifest("vae") is None
    assert run.begin("vae", "train_vae"), "an empty folder is in nobody's way"
    thesis.touch()
    with pytest.raises(ConfigError, match=r"demo/vae is there and is no artifact .* move it, or"):
        run.begin("vae", "train_vae")
    assert thesis.exists()


def test_a_manifest_is_of_the_artifact_whose_place_it_has(run: Run, store: LocalStore) -> None:
    manifest = finish(run) / "manifest.json"
    (store.root / "demo/graph").mkdir()
    (store.root / "demo/graph/manifest.json").write_bytes(manifest.read_bytes())
    with pytest.raises(ArtifactCorrupt, match=r"manifest\.json is the manifest of vae; delete its"):
        run.manifest("graph")


def test_a_manifest_names_no_path(run: Run) -> None:
    manifest = finish(run) / "manifest.json"
    for field in ("artifact", "stage"):
        content = json.loads(manifest.read_text()) | {field: "../../elsewhere"}
        with pytest.raises(ValidationError, match=field):
            Manifest.model_validate(content)


def test_a_damaged_manifest_has_a_remedy_that_works(run: Run) -> None:
    folder = finish(run)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ArtifactCorrupt, match="delete its folder and run the same command again"):
        run.manifest("vae")
    shutil.rmtree(folder)
    finish(run)


def test_a_storage_that_refuses_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = LocalStore(tmp_path / "file/runs")
    writes = (
        lambda: store.create("demo/a.json", b""),
        lambda: store.append("demo/log.txt", ""),
        lambda: store.workspace("demo/vae"),
    )
    for write in writes:
        with pytest.raises(StorageError, match="file/runs: Not a directory; make it writable"):
            write()


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


@pytest.mark.parametrize("uri", ["gs://bucket/runs", "hdfs://runs", "s3://", "s3:///runs"])
def test_another_kind_of_storage_is_refused_by_name(uri: str) -> None:
    with pytest.raises(ConfigError, match=rf"storage = '{uri}': name a folder, or s3://bucket"):
        open_store(Storage(uri))


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_no_file_lies_outside_its_artifact(path: str) -> None:
    with pytest.raises(ValidationError, match="leads out of the artifact's folder"):
        FileEntry(path=path, size=0, sha256="0" * 64)
