"""Images and parquet below an ``s3://`` prefix, on a real server, by the rules of folders."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from seaweed import Seaweed

from gdrl.artifacts.s3_client import client
from gdrl.config import DatasetRecipe, S3Settings
from gdrl.data import s3_prefix
from gdrl.data.loose_images import read_images
from gdrl.data.open import open_source
from gdrl.data.prepare import prepare
from gdrl.data.source import one_by_one
from gdrl.errors import DataError, StorageError


def picture(seed: int, side: int = 48) -> bytes:
    """A PNG of noise: 7 KB at a side of 48."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def parquet(cells: list[bytes]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": cells}), buffer, row_group_size=3)
    return buffer.getvalue()


def keep(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def put(seaweed: Seaweed, files: dict[str, bytes]) -> str:
    """Put the files below a prefix of a new bucket."""
    bucket = seaweed.bucket()
    for name, data in files.items():
        client(seaweed.s3).put_object(Bucket=bucket, Key=f"some/photos/{name}", Body=data)
    return f"s3://{bucket}/some/photos"


def lay(folder: Path, files: dict[str, bytes]) -> str:
    """Put the files into a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


LOOSE = {
    **{f"{number}.png": picture(number) for number in range(6)},
    "deep/LOUD.PNG": picture(9, 80),
    "cut.png": picture(1)[:500],
    "empty.png": b"",
    "sliver.png": picture(2, 8),
    ".hidden.png": picture(3),
    ".cache/a.png": picture(4),
    "notes.txt": b"hello",
}
PACKED = {
    "a.parquet": parquet([picture(number) for number in range(7)]),
    "more/b.parquet": parquet([picture(8), b"no image", picture(9)]),
    "z.parquet": b"PAR1 and then nothing",
}


@pytest.mark.parametrize(
    ("files", "num_rows"), [(LOOSE, 10), (PACKED, 11)], ids=["loose", "parquet"]
)
@pytest.mark.parametrize("num_images", [1_000, 6])
def test_a_prefix_gives_what_the_same_folder_gives(
    seaweed: Seaweed, files: dict[str, bytes], num_rows: int, num_images: int, tmp_path: Path
) -> None:
    for source in (put(seaweed, files), lay(tmp_path / "photos", files)):
        recipe = DatasetRecipe(source=source, num_images=num_images, seed=1)
        out = tmp_path / ("remote" if source.startswith("s3://") else "local")
        metrics = prepare(recipe, out, s3=seaweed.s3)
        assert metrics["num_images"] + metrics["num_quarantined"] == min(num_images, num_rows)
    for file in ("images-00000.parquet", "quarantine.parquet"):
        remote, local = (pq.read_table(tmp_path / at / file) for at in ("remote", "local"))
        assert remote.equals(local), file


def test_one_parquet_object_is_a_source(seaweed: Seaweed, tmp_path: Path) -> None:
    source = f"{put(seaweed, PACKED)}/a.parquet"
    assert prepare(DatasetRecipe(source=source), tmp_path, s3=seaweed.s3)["num_images"] == 7


def test_an_object_larger_than_one_request_is_read(
    seaweed: Seaweed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_prefix, "READ_AHEAD", 1_000)
    recipe = DatasetRecipe(source=put(seaweed, {f"{n}.png": picture(n) for n in range(3)}))
    assert prepare(recipe, tmp_path, s3=seaweed.s3)["num_images"] == 3


def test_objects_that_vanish_are_set_aside(seaweed: Seaweed) -> None:
    """One between listing and reading, one replaced while it is read."""
    uri = put(seaweed, {"a.png": picture(0), "b.png": picture(1), "c.png": picture(2, 800)})
    bucket = uri.split("/")[2]
    source = open_source(DatasetRecipe(source=uri), seaweed.s3)
    client(seaweed.s3).delete_object(Bucket=bucket, Key="some/photos/b.png")
    first, gone, _ = one_by_one(source.read, source.chunks)
    assert first.png is not None
    assert gone.path == "b.png"
    assert gone.reason is not None
    assert gone.reason.startswith("unreadable: FileNotFoundError: NoSuchKey")

    with s3_prefix.S3Prefix(uri, seaweed.s3).open("c.png") as file:
        client(seaweed.s3).put_object(Bucket=bucket, Key="some/photos/c.png", Body=picture(3, 800))
        with pytest.raises(OSError, match=r"PreconditionFailed|412"):
            file.read()


def test_what_keeps_everything_from_being_read_is_an_error(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StorageError, match="there is no bucket 'nobodys-bucket'"):
        open_source(DatasetRecipe(source="s3://nobodys-bucket/photos"), seaweed.s3)
    with pytest.raises(DataError, match=r"/nothing-here holds no image: looked for \.jpeg"):
        open_source(DatasetRecipe(source=f"{put(seaweed, {})}/nothing-here"), seaweed.s3)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    elsewhere = S3Settings(endpoint=seaweed.s3.endpoint, region="eu-west-1", addressing="path")
    with pytest.raises(StorageError, match=r"no credentials for .*set AWS_ACCESS_KEY_ID"):
        open_source(DatasetRecipe(source="s3://some-bucket/photos"), elsewhere)


@pytest.mark.usefixtures("seaweed")  # for the credentials
def test_a_server_that_does_not_answer_sets_nothing_aside() -> None:
    """An outage would otherwise make a data set of what was read before it."""
    nobody = s3_prefix.S3Prefix("s3://bucket/photos", S3Settings(endpoint="http://127.0.0.1:9"))
    with pytest.raises(StorageError, match="no answer from"):
        list(read_images(nobody, keep, ["a.png"]))
