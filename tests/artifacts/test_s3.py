"""What a bucket alone can show: trees, parts, pages, and the cache in front of it."""

import hashlib
import random
import time
from pathlib import Path
from typing import Any

import pytest
from small_artifact import describe, fill, finish

from gdrl.artifacts import FileEntry, Run, Storage, open_store, s3_transfer
from gdrl.artifacts.cache import Cache
from gdrl.artifacts.s3_client import client, split
from gdrl.artifacts.s3_transfer import PART_BYTES
from gdrl.config import S3Settings
from gdrl.errors import ArtifactCorrupt, StorageError

EMPTY = hashlib.sha256().hexdigest()


@pytest.fixture
def run(s3_storage: Storage) -> Run:
    return Run(open_store(s3_storage), "demo")


def replace(run: Run, path: str, content: bytes) -> None:
    """Overwrite a file of the artifact ``vae`` in the bucket."""
    address = run.address("vae", path)
    bucket, key = split(address.uri)
    client(address.s3).put_object(Bucket=bucket, Key=key, Body=content)


def cache(run: Run) -> Path:
    return Path(run.store.location("").s3.cache)


def forget(run: Run) -> None:
    """Empty the cache, as on another machine."""
    for path in cache(run).rglob("*"):
        if path.is_file():
            path.unlink()


def test_an_artifact_of_many_parts_comes_back_whole(run: Run) -> None:
    content = random.Random(0).randbytes(2 * PART_BYTES + 1)
    out = run.begin("vae", "train_vae")
    (out.path / "weights").write_bytes(content)
    run.commit(out, describe(out))
    assert (run.open("vae") / "weights").read_bytes() == content
    replace(run, "weights", content[:PART_BYTES])
    forget(run)
    with pytest.raises(ArtifactCorrupt, match=f"has {PART_BYTES} bytes, its manifest says"):
        run.open("vae")


def test_more_files_than_a_page_lists(run: Run) -> None:
    out = run.begin("vae", "train_vae")
    for number in range(1_001):
        (out.path / f"{number}.txt").touch()
    manifest = describe(out)
    run.commit(out, manifest)
    tree = run.store.tree("demo/vae", manifest)
    assert len(run.store.names(tree)) == 1_001
    assert len(list(run.open("vae").iterdir())) == 1_001
    run.discard("vae", "train_vae")
    assert list(run.store.objects("")) == []


def test_every_upload_has_a_tree_of_its_own(run: Run) -> None:
    out = run.begin("vae", "train_vae")
    first = fill(out, "one")
    again = first.model_copy(update={"attempt": "0002"})
    (out.path / "deep/model.txt").write_text("two")
    other = describe(out)
    assert len({run.store.tree("demo/vae", manifest) for manifest in (first, again, other)}) == 3


def test_discarding_leaves_the_uploads_of_others_alone(run: Run) -> None:
    finish(run)
    run.store.create("demo/vae/0002-0123456789abcdef/model.txt", b"half of an upload")
    run.discard("vae", "train_vae")
    keys = [o.key for o in run.store.objects("demo")]
    assert keys == ["demo/vae/0002-0123456789abcdef/model.txt"]


def test_a_report_is_a_page_to_a_browser(run: Run) -> None:
    finish(run)
    address = run.address("vae", "index.html")
    bucket, key = split(address.uri)
    found = client(address.s3).head_object(Bucket=bucket, Key=key)
    assert found["ContentType"] == "text/html"


def test_a_flipped_byte_in_the_bucket_is_found_and_named(run: Run) -> None:
    finish(run)
    replace(run, "deep/model.txt", b"a modem")
    forget(run)
    with pytest.raises(ArtifactCorrupt, match=r"s3://.*/deep/model\.txt differs from its manifest"):
        run.open("vae")
    assert [path for path in cache(run).rglob("*") if path.is_file()] == []


def test_a_lost_object_is_named(run: Run) -> None:
    finish(run)
    bucket, key = split(run.address("vae", "index.html").uri)
    client(run.store.location("").s3).delete_object(Bucket=bucket, Key=key)
    forget(run)
    with pytest.raises(ArtifactCorrupt, match=r"index\.html is missing, though"):
        run.open("vae")


def test_a_flipped_byte_in_the_cache_is_fetched_again(run: Run) -> None:
    path = finish(run) / "deep/model.txt"
    path.chmod(0o644)
    path.write_text("a modem")
    assert (run.open("vae") / "deep/model.txt").read_text() == "a model"


def test_what_is_cached_is_not_downloaded(run: Run) -> None:
    finish(run)
    replace(run, "deep/model.txt", b"a modem")
    assert (run.open("vae") / "deep/model.txt").read_text() == "a model"


def test_a_file_that_differs_is_named_while_others_are_under_way(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run.begin("vae", "train_vae")
    for number in range(30):
        (out.path / f"{number:02d}").write_bytes(bytes([number]))
    run.commit(out, describe(out))
    replace(run, "00", b"?")
    forget(run)
    load, has_folder = s3_transfer._load, list[bool]()

    def load_slowly(*arguments: Any) -> bytes:
        if not arguments[2].endswith("/00"):
            time.sleep(0.2)
        has_folder.append(arguments[-1].parent.exists())
        return load(*arguments)

    monkeypatch.setattr(s3_transfer, "_load", load_slowly)
    with pytest.raises(ArtifactCorrupt, match=r"/00 differs from its manifest"):
        run.open("vae")
    time.sleep(0.5)
    assert all(has_folder), "a download goes on in a folder that was deleted"
    assert list((cache(run) / "work").iterdir()) == []


def test_what_another_reader_adds_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared, entry = (
        Cache(S3Settings(cache=str(tmp_path))),
        FileEntry(path="a", size=0, sha256=EMPTY),
    )

    def lose_the_race(path: Path, _: FileEntry) -> None:
        (tmp_path / "theirs").touch()
        shared.add(tmp_path / "theirs", entry)
        raise ArtifactCorrupt(f"{path} was missing")

    with monkeypatch.context() as patch:
        patch.setattr("gdrl.artifacts.cache.verify", lose_the_race)
        assert not shared.holds(entry)
    assert shared.holds(entry)


def test_a_cache_that_refuses_is_named_with_the_remedy(s3_storage: Storage) -> None:
    Path(s3_storage.s3.cache).touch()
    run = Run(open_store(s3_storage), "demo")
    with pytest.raises(StorageError, match=r"cache: .*; make room .* or set s3\.cache to another"):
        run.begin("vae", "train_vae")


def test_what_is_created_has_its_own_kind(run: Run) -> None:
    for name, kind in (("a.json", "application/json"), ("b.txt", "text/plain")):
        run.store.create(f"demo/{name}", b"{}")
        address = run.store.location(f"demo/{name}")
        bucket, key = split(address.uri)
        found = client(address.s3).head_object(Bucket=bucket, Key=key)
        assert found["ContentType"] == kind


def test_equal_files_are_kept_once(run: Run) -> None:
    out = run.begin("vae", "train_vae")
    for name in ("a.txt", "b.txt"):
        (out.path / name).write_text("same")
    run.commit(out, describe(out))
    folder = run.open("vae")
    assert (folder / "a.txt").samefile(folder / "b.txt")
