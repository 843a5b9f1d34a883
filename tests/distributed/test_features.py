"""A CLIP and a DINO of a few thousand weights, as folders; their features of drawn squares."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_clip import SIDES, TOWER, save, save_clip
from transformers import CLIPModel, Dinov2Config, Dinov2Model
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from gdrl.config import TrainScale
from gdrl.data.features import read_features, write_features
from gdrl.distributed.features import extract_features
from gdrl.errors import ConfigError, DataError
from gdrl.models.image_features import ImageFeatures
from gdrl.unmixing import fit_unmixing


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return save_clip(tmp_path / "clip")


@pytest.fixture
def squares() -> list[bytes]:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(40):
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(file, "PNG")
        pictures.append(file.getvalue())
    return pictures


@pytest.mark.usefixtures("cluster")
def test_features_of_every_image_come_in_order_and_go_through_parquet(
    clip: Path, squares: list[bytes], write_images, tmp_path: Path
) -> None:
    ids = np.arange(2, 40)
    table = extract_features(write_images(squares), ids, clip, TrainScale())
    write_features(table, tmp_path)
    found, features = read_features(tmp_path)
    assert found.tolist() == ids.tolist()
    alone = ImageFeatures(clip)([Image.open(io.BytesIO(squares[7]))])
    np.testing.assert_allclose(features[5], alone[0], atol=1e-5)
    assert np.linalg.norm(features, axis=1).std() > 0  # as they come, of any length
    assert fit_unmixing(features, 3, "pca").transform(features).shape == (38, 3)


@pytest.mark.usefixtures("cluster")
def test_images_that_a_data_set_has_not_are_named(clip, squares, write_images) -> None:
    with pytest.raises(DataError, match="1 image ids are not in the dataset; one is 99"):
        extract_features(write_images(squares), np.array([0, 99]), clip, TrainScale())


def test_features_are_the_towers_own_projection(clip: Path, squares: list[bytes]) -> None:
    images = [Image.open(io.BytesIO(square)) for square in squares[:2]]
    model = CLIPModel.from_pretrained(clip).eval()
    pixels = CLIPImageProcessorPil(**SIDES)(images=images, return_tensors="pt")
    with torch.inference_mode():
        hidden = model.vision_model(**pixels).pooler_output
        expected = model.visual_projection(hidden).numpy()
    np.testing.assert_allclose(ImageFeatures(clip)(images), expected, atol=1e-6)


def test_a_tower_without_text_gives_what_it_pools(squares: list[bytes], tmp_path: Path) -> None:
    torch.manual_seed(0)
    dino = save(Dinov2Model(Dinov2Config(**TOWER)), tmp_path / "dino")
    features = ImageFeatures(dino)([Image.open(io.BytesIO(squares[0]))])
    assert features.shape == (1, 16)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        ImageFeatures(tmp_path)
