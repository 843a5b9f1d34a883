import json
import os
import stat
from pathlib import Path

import pytest

from gdrl.artifacts import (
    Artifact,
    LocalStore,
    Manifest,
    Run,
    Storage,
    describe_files,
    fingerprint,
    open_store,
    plain_metrics,
)
from gdrl.errors import ArtifactCorrupt, ArtifactExists, ArtifactMissing, ConfigError


@pytest.fixture
def run(store: LocalStore) -> Run:
    return Run(store, "demo")


def fill(out: Artifact, text: str = "a model") -> Manifest:
    (out.path / "deep").mkdir()
    (out.path / "deep/model.txt").write_text(text)
    (out.path / "model.json").write_text("{}")
    return Manifest(
        artifact=out.name,
        stage="train_vae",
        fingerprint="f" * 64,
        recipe={"recipe.vae": {"beta": 4.0}},
        inputs={},
        files=describe_files(out.path),
        metrics={"mse": 0.25, "edges": 3, "nothing": None},
        versions={"gdrl": "0"},
        git_commit=None,
        attempt="0001",
        started=1.0,
        seconds=2.0,
        created="2026-01-01T00:00:00+00:00",
    )


def finish(run: Run, text: str = "a model") -> Path:
    out = run.begin("vae", "train_vae")
    run.commit(out, fill(out, text))
    return run.open("vae")


def test_an_artifact_exists_once_committed(run: Run) -> None:
    out = run.begin("vae", "train_vae")
    manifest = fill(out)
    assert run.manifest("vae") is None
    with pytest.raises(ArtifactMissing, match="run 'demo' has no finished vae"):
        run.open("vae")
    run.commit(out, manifest)
    assert run.manifest("vae") == manifest
    assert (run.open("vae") / "deep/model.txt").read_text() == "a model"


def test_a_manifest_lists_each_file(run: Run) -> None:
    files = json.loads((finish(run) / "manifest.json").read_text())["files"]
    assert [(entry["path"], entry["size"]) for entry in files] == [
        ("deep/model.txt", 7),
        ("model.json", 2),
    ]


def test_nothing_is_left_of_the_work(run: Run, store: LocalStore) -> None:
    finish(run)
    assert list((store.root / "demo/.work").iterdir()) == []
    assert store.names("demo") == ["vae"]


def test_of_two_committers_one_wins(run: Run, store: LocalStore) -> None:
    first, second = run.begin("vae", "train_vae"), Run(store, "demo").begin("vae", "train_vae")
    first_manifest, second_manifest = fill(first, "first"), fill(second, "second")
    run.commit(second, second_manifest)
    with pytest.raises(ArtifactExists, match="demo/vae was finished by another job first"):
        run.commit(first, first_manifest)
    assert (run.open("vae") / "deep/model.txt").read_text() == "second"


def test_a_folder_without_manifest_never_began(run: Run, store: LocalStore) -> None:
    leftover = store.root / "demo/vae/half.txt"
    leftover.parent.mkdir(parents=True)
    leftover.touch()
    assert run.manifest("vae") is None
    assert not (finish(run) / "half.txt").exists()


def test_work_of_the_living_is_left_alone_and_of_the_dead_deleted(tmp_path: Path) -> None:
    dying = LocalStore(tmp_path)
    abandoned = Run(dying, "demo").begin("vae", "train_vae")
    (abandoned.path / "half.txt").touch()
    run = Run(LocalStore(tmp_path), "demo")
    run.begin("vae", "train_vae")
    assert abandoned.path.exists()
    del dying  # its process would end here, and its locks with it
    finish(run)
    assert not abandoned.path.exists()


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


def test_discard_takes_the_checkpoints_too(run: Run, store: LocalStore) -> None:
    out = run.begin("vae", "train_vae")
    checkpoint = Path(out.training.uri) / "checkpoint"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    run.commit(out, fill(out))
    run.discard("vae", "train_vae")
    assert run.manifest("vae") is None
    assert not checkpoint.exists()
    assert list((store.root / "demo/.work").iterdir()) == []


def test_others_may_read_what_was_committed(run: Run, store: LocalStore) -> None:
    folder = finish(run)
    run.attempt({})
    for path in (folder / "manifest.json", store.root / "demo/attempts/0001/config.json"):
        assert path.stat().st_mode & stat.S_IRGRP


def test_attempts_count_up_and_keep_their_log(run: Run, store: LocalStore) -> None:
    assert [run.attempt({"name": "demo"}) for _ in range(2)] == ["0001", "0002"]
    run.log("0002", "start train_vae")
    run.log("0002", "done  train_vae")
    folder = store.root / "demo/attempts/0002"
    assert (folder / "log.txt").read_text() == "start train_vae\ndone  train_vae\n"
    assert json.loads((folder / "config.json").read_text()) == {"name": "demo"}
    assert {"python", "torch", "ray", "git_commit"} <= set(
        json.loads((folder / "versions.json").read_text())
    )


def test_create_never_replaces(store: LocalStore) -> None:
    store.create("demo/a.json", b"first")
    with pytest.raises(FileExistsError):
        store.create("demo/a.json", b"second")
    assert store.read("demo/a.json") == b"first"
    assert store.names("demo") == ["a.json"]


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


def test_another_kind_of_storage_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="s3:// is not built yet"):
        open_store(Storage("s3://bucket/runs"))
