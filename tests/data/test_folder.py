"""Folders of real files, sound and broken."""

import errno
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gdrl.config import DatasetRecipe, S3Settings
from gdrl.data.loose_images import choose
from gdrl.data.open import open_source
from gdrl.data.source import Found, one_by_one
from gdrl.errors import DataError


def picture(width: int = 48, height: int = 48, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def found_in(folder: Path) -> list[Found]:
    """Everything that is found in a folder of images."""
    source = open_source(DatasetRecipe(source=str(folder)), S3Settings())
    return list(one_by_one(source.read, source.chunks))


def only_image(folder: Path) -> np.ndarray:
    """The pixels of a folder's one image."""
    (found,) = found_in(folder)
    assert found.png is not None, found.reason
    return np.asarray(Image.open(io.BytesIO(found.png)))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header promises side x side pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four sound images of four kinds, six unusable ones, and files that are no images."""
    (tmp_path / "b" / "deep").mkdir(parents=True)
    picture().save(tmp_path / "a.png")
    picture().save(tmp_path / "b" / "LOUD.JPG", format="JPEG")
    picture(80, 50).save(tmp_path / "b" / "deep" / "c.webp")
    picture().convert("L").save(tmp_path / "z.jpeg")
    sound = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(sound[: len(sound) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "bomb.png").write_bytes(bomb(60_000))
    (tmp_path / "large.png").write_bytes(bomb(10_500))
    picture(200, 8).save(tmp_path / "sliver.png")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "._a.png").write_text("a shadow file")
    (tmp_path / ".cache").mkdir()
    picture().save(tmp_path / ".cache" / "hidden.png")
    return tmp_path


def test_sound_images_are_read_in_order_and_the_rest_is_set_aside(folder: Path) -> None:
    found = found_in(folder)
    reasons = {item.path: item.reason for item in found if item.png is None}
    sound = [item.path for item in found if item.png is not None]
    assert sound == ["a.png", "b/LOUD.JPG", "b/deep/c.webp", "z.jpeg"]
    assert set(reasons) == {
        "bomb.png", "cut.png", "empty.jpg", "large.png", "sliver.png", "text.png"
    }  # fmt: skip
    assert reasons["sliver.png"] == "too small: 200 x 8, shorter side below 32"
    assert "bomb" in reasons["bomb.png"].lower()
    assert "truncated" in reasons["cut.png"]
    assert "decompression bomb" in reasons["large.png"]
    assert all(reasons.values())


def test_an_unreadable_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (found,) = found_in(tmp_path)
    assert found == Found(
        "gone.png", reason="unreadable: FileNotFoundError: No such file or directory"
    )


def test_a_folder_that_a_node_does_not_see_is_no_folder_of_damaged_images(tmp_path: Path) -> None:
    picture().save(tmp_path / "a.png")
    source = open_source(DatasetRecipe(source=str(tmp_path)), S3Settings())
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    with pytest.raises(DataError, match="put the images into a folder that every node sees"):
        list(one_by_one(source.read, source.chunks))


def test_the_centre_square_is_kept(tmp_path: Path) -> None:
    wide = np.zeros((64, 192, 3), dtype=np.uint8)
    wide[:, 64:128] = (10, 200, 30)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert np.array_equal(only_image(tmp_path), wide[:, 64:128])


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    upright = np.zeros((64, 64, 3), dtype=np.uint8)
    upright[:32] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn a quarter clockwise to view"
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(only_image(tmp_path), upright)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    clear = np.zeros((64, 64, 4), dtype=np.uint8)
    clear[:, :32] = (200, 0, 0, 255)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    pixels = only_image(tmp_path)
    assert tuple(pixels[0, 0]) == (200, 0, 0)
    assert tuple(pixels[0, 63]) == (255, 255, 255)


def test_sixteen_bit_grey_keeps_its_shades(tmp_path: Path) -> None:
    grey = np.full((64, 64), 0x8000, dtype=np.uint16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    assert (only_image(tmp_path) == 0x80).all()


def test_a_draw_is_seeded_and_keeps_the_order() -> None:
    paths = [f"{number:03d}.png" for number in range(100)]
    drawn = choose(paths, 10, seed=1)
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 10
    assert drawn == choose(paths, 10, seed=1) != choose(paths, 10, seed=2)
    assert choose(paths, 100, seed=1) == paths


def test_a_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere is not a folder.*recipe\.dataset\.source"):
        found_in(tmp_path / "nowhere")
    with pytest.raises(DataError, match=f"{tmp_path} holds no image"):
        found_in(tmp_path)


def paths_in(folder: Path) -> list[str]:
    return [str(item.path) for item in found_in(folder)]


def test_a_folder_that_cannot_be_listed_is_named_unless_hidden(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, forbidden = os.scandir, {".cache"}

    def refusing(path: str) -> Any:  # root may list what its mode forbids
        if Path(path).name in forbidden:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert "b/deep/c.webp" in paths_in(folder)
    forbidden.add("deep")
    with pytest.raises(DataError, match=r"b/deep cannot be listed \(Permission denied\): make it"):
        found_in(folder)


def test_images_behind_a_link_are_read(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "disk" / "trip").mkdir(parents=True)
    picture().save(tmp_path / "disk" / "trip" / "a.png")
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "disk")
    assert paths_in(tmp_path / "photos") == ["linked/trip/a.png"]
    (tmp_path / "to photos").symlink_to(tmp_path / "photos")
    assert paths_in(tmp_path / "to photos") == ["linked/trip/a.png"]


def test_no_image_is_read_twice_however_links_lead_to_it(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    picture().save(tmp_path / "b" / "deep" / "a.png")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "deep" / "back").symlink_to(tmp_path)
    (tmp_path / "b" / "itself").symlink_to(tmp_path / "b" / "itself")
    assert paths_in(tmp_path) == ["b/deep/a.png"], "its own path, not that of a link before it"
