import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from gdrl.data.pictures import encode_png, save_grid, slug


def test_png_keeps_every_pixel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)


def test_frame_of_row_and_column_is_where_the_page_cuts_it(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 5, 3), dtype=np.uint8)
    save_grid(tmp_path / "deep/grid.png", images)
    grid = np.asarray(Image.open(tmp_path / "deep/grid.png"))
    assert grid.shape == (2 * 4, 3 * 5, 3)
    np.testing.assert_array_equal(grid[4:8, 10:15], images[1, 2])


def test_a_file_name_stands_for_one_attribute() -> None:
    assert slug("pale skin") == "pale-skin"
    names = [
        "ひげ",
        "帽子",
        "hat",
        "Hat",
        "pale skin",
        "pale-skin",
        "Pale_Skin (very)",
        "hat alone",
    ]
    files = [f"{slug(name)}{suffix}" for name in names for suffix in ("", "-alone")]
    assert len(set(files)) == 2 * len(names)
    assert all(re.fullmatch(r"[a-z0-9_-]+", file) for file in files), "in any storage"
