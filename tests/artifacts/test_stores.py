"""What every kind of storage promises: a folder, SeaweedFS, and S3 in memory."""

import json
import pickle
from pathlib import Path

import pytest
from small_artifact import describe, fill, finish

from gdrl.artifacts import Run, Storage, Store, open_store
from gdrl.errors import ArtifactCorrupt, ArtifactExists, ArtifactMissing


def test_an_artifact_exists_once_committed(any_run: Run) -> None:
    out = any_run.begin("vae", "train_vae")
    manifest = fill(out)
    assert any_run.manifest("vae") is None
    with pytest.raises(ArtifactMissing, match="run 'demo' has no finished vae"):
        any_run.open("vae")
    any_run.commit(out, manifest)
    assert any_run.manifest("vae") == manifest
    assert (any_run.open("vae") / "deep/model.txt").read_text() == "a model"


def test_nothing_is_left_of_the_work(any_run: Run) -> None:
    out = any_run.begin("vae", "train_vae")
    any_run.commit(out, fill(out))
    any_run.open("vae")
    assert list(out.path.parent.iterdir()) == []
    assert any_run.store.names("demo") == ["vae"]


def test_work_of_the_living_is_left_alone_and_of_the_dead_deleted(storage: Storage) -> None:
    dying, living = open_store(storage), open_store(storage)
    abandoned = dying.workspace("demo/vae")
    (abandoned / "half.txt").touch()
    living.workspace("demo/vae")
    assert abandoned.exists()
    del dying  # its process would end here, and its locks with it
    living.workspace("demo/vae")
    assert not abandoned.exists()


def test_a_part_of_an_artifact_can_be_opened(any_run: Run) -> None:
    finish(any_run)
    assert (any_run.open("vae", only=["index.html"]) / "index.html").read_text() == "<p>"


def test_files_keep_their_names_and_bytes(any_run: Run) -> None:
    contents = {"empty": b"", "a b/ü + 50 %.json": b"{}", "deep/deeper/zero": bytes(1_000)}
    out = any_run.begin("vae", "train_vae")
    for path, content in contents.items():
        (out.path / path).parent.mkdir(parents=True, exist_ok=True)
        (out.path / path).write_bytes(content)
    any_run.commit(out, describe(out))
    folder = any_run.open("vae")
    assert {path: (folder / path).read_bytes() for path in contents} == contents


def test_of_two_committers_one_wins(any_run: Run, storage: Storage) -> None:
    other_run = Run(open_store(storage), "demo")
    first, second = any_run.begin("vae", "train_vae"), other_run.begin("vae", "train_vae")
    first_manifest, second_manifest = fill(first, "first"), fill(second, "second")
    other_run.commit(second, second_manifest)
    with pytest.raises(ArtifactExists, match="demo/vae was finished by another job first"):
        any_run.commit(first, first_manifest)
    assert (any_run.open("vae") / "deep/model.txt").read_text() == "second"


def test_create_never_replaces(any_store: Store) -> None:
    any_store.create("demo/a.json", b"first")
    with pytest.raises(FileExistsError):
        any_store.create("demo/a.json", b"second")
    assert any_store.read("demo/a.json") == b"first"
    assert any_store.read("demo/b.json") is None


def test_names_are_one_level(any_store: Store) -> None:
    for key in ("demo/a.json", "demo/vae/b.json", "demo2/c.json"):
        any_store.create(key, b"{}")
    assert any_store.names("") == ["demo", "demo2"]
    assert any_store.names("demo") == ["a.json", "vae"]
    assert any_store.names("nothing") == []


def test_objects_are_all_levels(any_store: Store) -> None:
    for key in ("demo/a.json", "demo/vae/b.json", "demo2/c.json"):
        any_store.create(key, key.encode())
    found = list(any_store.objects("demo"))
    assert [(o.key, o.size) for o in found] == [("demo/a.json", 11), ("demo/vae/b.json", 15)]
    assert found[0].modified == pytest.approx(found[1].modified, abs=60)
    assert [o.key for o in any_store.objects("")][-1] == "demo2/c.json"


def test_deleted_objects_are_gone_and_others_stay(any_store: Store) -> None:
    for key in ("demo/a/b/c.json", "demo/d.json"):
        any_store.create(key, b"{}")
    any_store.delete(["demo/a/b/c.json", "demo/never.json"])
    assert [o.key for o in any_store.objects("demo")] == ["demo/d.json"]


def test_discard_takes_the_artifact_and_the_checkpoints(any_run: Run) -> None:
    finish(any_run)
    any_run.store.create("demo/training/train_vae/checkpoint/a.bin", b"")
    any_run.store.create("demo/training/train_graph/checkpoint/a.bin", b"")
    any_run.discard("vae", "train_vae")
    assert any_run.manifest("vae") is None
    kept = ["demo/training/train_graph/checkpoint/a.bin"]
    assert [o.key for o in any_run.store.objects("demo")] == kept
    finish(any_run, "again")


def test_attempts_count_up_and_keep_their_log(any_run: Run) -> None:
    assert [any_run.attempt({"name": "demo"}) for _ in range(2)] == ["0001", "0002"]
    any_run.log("0002", "start train_vae")
    any_run.log("0002", "done  train_vae")
    store, key = any_run.store, "demo/attempts/0002"
    assert store.read(f"{key}/log.txt") == b"start train_vae\ndone  train_vae\n"
    assert json.loads(store.read(f"{key}/config.json") or b"") == {"name": "demo"}
    versions = json.loads(store.read(f"{key}/versions.json") or b"")
    assert {"python", "torch", "ray", "git_commit"} <= set(versions)


def test_a_damaged_manifest_is_named(any_run: Run) -> None:
    any_run.store.create("demo/vae/manifest.json", b'{"artifact": "vae"')
    with pytest.raises(ArtifactCorrupt, match=r"demo/vae/manifest\.json is no manifest"):
        any_run.manifest("vae")


def test_a_source_pickles_and_opens_elsewhere(any_run: Run) -> None:
    finish(any_run)
    source = pickle.loads(pickle.dumps(any_run.source("vae")))
    assert (source.open() / "deep/model.txt").read_text() == "a model"


def test_a_file_has_an_address(any_run: Run) -> None:
    finish(any_run)
    address = any_run.address("vae", "index.html")
    assert address.uri.endswith("/index.html")
    if address.is_remote:
        assert any(o.key in address.uri for o in any_run.store.objects("demo"))
    else:
        assert Path(address.uri).read_text() == "<p>"
