"""CelebA's reader on a small tree of the official shape."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gdrl.config import DatasetRecipe
from gdrl.data.celeba import open_celeba
from gdrl.data.prepare import prepare
from gdrl.data.table import load_images, read_description
from gdrl.errors import DataError

NUM = 12
NAMES = "5_o_Clock_Shadow Smiling Wearing_Hat"


def face(number: int) -> Image.Image:
    """Red around a green 148 x 148 centre whose brightness says which image it is."""
    pixels = np.full((218, 178, 3), (255, 0, 0), dtype=np.uint8)
    pixels[35:183, 15:163] = (0, 20 * number, 0)
    return Image.fromarray(pixels)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Twelve aligned images: eight to train, two to validate, two to test."""
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    attributes, partition = [str(NUM), NAMES], []
    for number in range(NUM):
        name = f"{number + 1:06d}.jpg"
        face(number).save(root / "img_align_celeba" / name, quality=100, subsampling=0)
        smiling, hat = ("1", "-1")[number % 2], ("-1", "1")[number % 3 == 0]
        attributes.append(f"{name} -1  {smiling} {hat:>2}")
        partition.append(f"{name} {0 if number < 8 else 1 if number < 10 else 2}")
    (root / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    return root


def recipe(root: Path, **settings: object) -> DatasetRecipe:
    return DatasetRecipe.model_validate({"source": f"celeba:{root}", **settings})


def test_a_tree_makes_the_round_trip_with_labels_and_official_split(
    tree: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert prepare(recipe(tree), out) == {"num_images": 10, "num_test": 2, "num_quarantined": 0}
    images = load_images(out)
    assert images.split.tolist() == ["train"] * 8 + ["test"] * 2
    assert tuple(images.factors) == ("5 o clock shadow", "smiling", "wearing hat")
    assert images.factors["smiling"].tolist() == [1, 0] * 5
    assert images.factors["wearing hat"].tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0, 0]
    assert not images.factors["5 o clock shadow"].any()
    paths = pq.read_table(out / "images-00000.parquet").column("path").to_pylist()
    assert paths == [f"{number + 1:06d}.jpg" for number in [*range(8), 10, 11]]
    description = read_description(out)
    assert description.attributes == tuple(images.factors)
    assert description.truth is None
    assert "non-commercial" in description.attribution


def test_the_central_face_is_kept_and_its_surroundings_are_not(tree: Path, tmp_path: Path) -> None:
    prepare(recipe(tree), tmp_path / "out")
    pixels = load_images(tmp_path / "out").pixels.astype(int)
    assert pixels[..., 0].max() < 30, "no red frame"
    numbers = np.array([*range(8), 10, 11])
    assert pixels[:, 32, 32, 1] == pytest.approx(20 * numbers, abs=6)


def test_a_draw_is_seeded_and_never_a_validation_image(tree: Path) -> None:
    celeba = open_celeba(tree)
    drawn = celeba.choose(5, seed=1)
    assert np.array_equal(drawn, celeba.choose(5, seed=1))
    assert len(drawn) == 5
    assert (np.diff(drawn) > 0).all()
    assert set(celeba.partition[celeba.choose(100, seed=2)]) == {0, 2}


def test_the_archives_own_folders_are_found(tree: Path, tmp_path: Path) -> None:
    for part, folder in {
        "img_align_celeba": "Img", "list_attr_celeba.txt": "Anno", "list_eval_partition.txt": "Eval"
    }.items():  # fmt: skip
        (tree / folder).mkdir()
        (tree / part).rename(tree / folder / part)
    assert prepare(recipe(tree), tmp_path / "out")["num_images"] == 10


def test_damaged_missing_and_unaligned_images_are_set_aside(tree: Path, tmp_path: Path) -> None:
    images = tree / "img_align_celeba"
    (images / "000001.jpg").unlink()
    (images / "000003.jpg").write_bytes((images / "000003.jpg").read_bytes()[:500])
    Image.new("RGB", (409, 687)).save(images / "000005.jpg")
    metrics = prepare(recipe(tree), tmp_path / "out")
    assert metrics == {"num_images": 7, "num_test": 2, "num_quarantined": 3}
    aside = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    reasons = {item["path"]: item["reason"] for item in aside}
    assert list(reasons) == ["000001.jpg", "000003.jpg", "000005.jpg"]
    assert reasons["000001.jpg"] == "unreadable: FileNotFoundError: No such file or directory"
    assert reasons["000003.jpg"].startswith("damaged: OSError")
    assert reasons["000005.jpg"] == "409 x 687, not an aligned image of 178 x 218"
    # the labels stay with their images
    assert load_images(tmp_path / "out").factors["smiling"].tolist() == [0, 0, 0, 1, 0, 1, 0]


@pytest.mark.parametrize("part", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_a_missing_list_is_named(tree: Path, part: str) -> None:
    (tree / part).unlink()
    with pytest.raises(DataError, match=f"no CelebA tree: {part} missing"):
        open_celeba(tree)


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"img_align_celeba, list_attr_.*, list_eval_.* missing"):
        open_celeba(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("part", "text", "complaint"),
    [
        ("list_attr_celeba.txt", "1\nSmiling\n000001.jpg 1 1\n", "line 3 is not as in CelebA"),
        ("list_attr_celeba.txt", "1\nSmiling\n000001.jpg 2\n", "line 3 is not as in CelebA"),
        ("list_attr_celeba.txt", "", "line 2 is not as in CelebA"),
        ("list_eval_partition.txt", "000001.jpg 3\n", "line 1 is not a file name and 0, 1 or 2"),
        ("list_eval_partition.txt", "000001.jpg 0\n", r"does not list 000002\.jpg \(11 in all\)"),
    ],
)
def test_a_list_of_another_shape_is_refused(
    tree: Path, part: str, text: str, complaint: str
) -> None:
    (tree / part).write_text(text)
    with pytest.raises(DataError, match=complaint):
        open_celeba(tree)
