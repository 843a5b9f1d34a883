"""What a bucket alone can show: trees, parts, pages, and the cache in front of it."""

import random
from pathlib import Path

import pytest
from small_artifact import describe, fill, finish

from gdrl.artifacts import Run, Storage, open_store
from gdrl.artifacts.s3_client import client, split
from gdrl.artifacts.s3_transfer import PART_BYTES
from gdrl.errors import ArtifactCorrupt


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


def test_equal_files_are_kept_once(run: Run) -> None:
    out = run.begin("vae", "train_vae")
    for name in ("a.txt", "b.txt"):
        (out.path / name).write_text("same")
    run.commit(out, describe(out))
    folder = run.open("vae")
    assert (folder / "a.txt").samefile(folder / "b.txt")
