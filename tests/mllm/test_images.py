import io
import struct
import zlib

import pytest
from PIL import Image

from gdrl.errors import DataError
from gdrl.mllm import images
from gdrl.mllm.images import decode


def _encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), (200, 10, 10)).save(buffer, format=kind)
    return buffer.getvalue()


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_png_and_jpeg_are_decoded(kind: str) -> None:
    image = decode(_encoded(kind))
    assert (image.mode, image.size) == ("RGB", (5, 4))


@pytest.mark.parametrize(
    "damaged", [b"", b"no picture", _encoded("PNG")[:45], _encoded("JPEG")[:300], _encoded("GIF")]
)
def test_anything_else_is_a_data_error(damaged: bytes) -> None:
    with pytest.raises(DataError, match="cannot be decoded"):
        decode(damaged)


def test_a_picture_that_claims_too_many_pixels_is_not_unfolded() -> None:
    with pytest.raises(DataError, match=r"pixels; the limit|cannot be decoded"):
        decode(_png_header(60_000, 60_000))


def test_too_many_bytes_are_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 10)
    with pytest.raises(DataError, match="limit is 10"):
        decode(_encoded("PNG"))
