"""A pre-trained model's features take the place of trained encoders, by its path in the recipe."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_artifact import finish_dataset
from tiny_clip import FEATURE_DIM, save_clip

from gdrl.artifacts import Artifact, Inputs, Source, Storage
from gdrl.config import RunConfig
from gdrl.data.features import read_features
from gdrl.data.pictures import encode_png
from gdrl.data.table import Row, train_ids, write_images
from gdrl.errors import ConfigError, DataError
from gdrl.stages import train_encoders


@pytest.mark.usefixtures("cluster")
def test_features_of_the_training_split_are_what_a_pre_trained_model_leaves(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    splits = ["test" if number % 4 == 0 else "train" for number in range(12)]
    pictures = (rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in splits)
    rows = [Row(encode_png(p), s) for p, s in zip(pictures, splits, strict=True)]
    run = finish_dataset(Storage(str(tmp_path / "runs")), lambda folder: write_images(folder, rows))
    scores = tmp_path / "scores"
    scores.mkdir()
    (scores / "scores.json").write_text(json.dumps({"attributes": ["hat", "bald"]}))
    config = RunConfig.model_validate(
        {"recipe": {"encoders": {"model": str(save_clip(tmp_path / "clip"))}}}
    )
    dataset = run.open("dataset")
    inputs = Inputs({"dataset": dataset, "scores": scores}, {}, {"dataset": run.source("dataset")})
    made = run.begin("encoders", "train_encoders")
    metrics = train_encoders.run(config, inputs, made)
    assert metrics == {"num_images": 9, "feature_dim": FEATURE_DIM}
    ids, features = read_features(made.path)
    assert ids.tolist() == train_ids(dataset).tolist() == [n for n in range(12) if n % 4]
    assert features.shape == (9, FEATURE_DIM)
    assert json.loads((made.path / "model.json").read_text())["num_attributes"] == 2


def test_a_data_set_without_a_training_split_is_said(tmp_path: Path) -> None:
    picture = encode_png(np.zeros((64, 64, 3), np.uint8))
    write_images(tmp_path, [Row(picture, "test")])
    with pytest.raises(DataError, match="holds no train images"):
        train_ids(tmp_path)


def test_a_path_without_a_model_is_said_before_anything_starts(tmp_path: Path) -> None:
    config = RunConfig.model_validate({"recipe": {"encoders": {"model": str(tmp_path)}}})
    inputs = Inputs({}, {}, {"dataset": Source(Storage(str(tmp_path)), "demo", "dataset")})
    out = Artifact("encoders", tmp_path, Storage(str(tmp_path)))
    with pytest.raises(ConfigError, match=r"recipe\.encoders\.model: .* holds no config\.json"):
        train_encoders.run(config, inputs, out)
