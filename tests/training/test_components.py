import json
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from gdrl.config import UnmixingRecipe
from gdrl.data.features import write_features
from gdrl.data.table import load_images
from gdrl.errors import ArtifactCorrupt, ConfigError, DataError, TrainingFailed
from gdrl.evaluation import mcc
from gdrl.graph import auroc
from gdrl.models.beta_vae import BetaVae
from gdrl.models.image_answer_encoders import ImageAnswerEncoders
from gdrl.models.representation import Representation
from gdrl.models.storage import load_encoders, load_model, save_model
from gdrl.training import encoders
from gdrl.training.checkpoint import read_state
from gdrl.training.components import train
from gdrl.training.encoded import Encoded, features_of, unmix
from gdrl.unmixing import fit_unmixing
from tests.training.squares import write_scores
from tests.training.test_encoders import RECIPE as ENCODERS

RECIPE = UnmixingRecipe(latent_dim=4, steps=4, batch_size=16)


@pytest.fixture
def untrained(tmp_path):
    torch.manual_seed(0)
    save_model(ImageAnswerEncoders(2, 8, "conv", 64), tmp_path / "encoders")
    return tmp_path / "encoders"


def test_components_are_the_features_unmixed_and_stay_so(job, reports, untrained, dataset) -> None:
    train(job(RECIPE, encoders=untrained))
    published = reports.checkpoints[4] / "published"
    pixels = load_images(dataset, "train").pixels
    features = features_of(load_encoders(untrained), pixels)
    expected = fit_unmixing(features, 2, "ica", seed=0).transform(features)
    codes = Representation.load(published).encode(pixels)
    assert codes.shape == (len(pixels), 4)
    assert codes[:, :2] == pytest.approx(expected, abs=1e-3)
    assert codes[:, :2].std(axis=0) == pytest.approx(np.ones(2), abs=1e-3)
    unmixing = json.loads((published / "unmixing.json").read_text())
    assert unmixing["num_components"] == 2
    assert len(unmixing["stability"]) == 2
    _, metrics = reports.rows[-1]
    assert metrics["lowest_stability"] == min(unmixing["stability"])


def test_private_latents_decoder_and_noise_learn(job, reports, untrained) -> None:
    train(job(RECIPE, every=2, encoders=untrained))
    before, last = (read_state(reports.checkpoints[step]).weights for step in (2, 4))
    moved = {name for name in before if not torch.equal(before[name], last[name])}
    assert {"vae.encoder.mean.weight", "vae.encoder.logvar.weight"} <= moved
    assert any("decoder" in name for name in moved)
    assert not any("features" in name or "hidden" in name for name in moved)
    mean = "vae.encoder.mean.weight"
    assert torch.equal(before[mean][:2], last[mean][:2])
    assert not torch.equal(before[mean][2:], last[mean][2:])


def test_an_attribute_that_pairs_share_gets_a_component(job, reports, dataset, tmp_path) -> None:
    """Trained pairs of squares: two answers, two components, one each."""
    write_scores(tmp_path, dataset)
    encoders.train(job(ENCODERS.model_copy(update={"steps": 60}), scores=tmp_path))
    pairs = reports.checkpoints[60] / "published"
    reports.folder = reports.folder / "unmixed"
    train(job(RECIPE, encoders=pairs))
    test = load_images(dataset, "test")
    codes = Representation.load(reports.checkpoints[4] / "published").encode(test.pixels)
    truth = np.stack([test.factors["red"], test.factors["left"]], axis=1)
    strengths = np.abs(2 * auroc(codes[:, :2], truth) - 1)
    assert max(strengths[0, 0] * strengths[1, 1], strengths[0, 1] * strengths[1, 0]) > 0.9


def test_resuming_gives_the_weights_of_an_uninterrupted_run(resumed, untrained) -> None:
    resumed(train, RECIPE, encoders=untrained)


def encoded(features: np.ndarray, num_attributes: int = 3) -> Encoded:
    return Encoded(features.astype(np.float32), num_attributes, "conv", None)


@pytest.mark.parametrize("method", ["pca", "varimax", "random_rotation"])
def test_controls_share_the_span_and_no_seed_unsettles_them(method: str) -> None:
    features = np.random.default_rng(0).laplace(size=(500, 5))
    fit, unmixed = unmix(encoded(features), RECIPE.model_copy(update={"method": method}))
    ica, _ = unmix(encoded(features), RECIPE)
    assert unmixed.stability == [1.0, 1.0, 1.0]
    assert unmixed.explained == pytest.approx(ica.whitening.explained)
    assert fit.transform(features).std(axis=0) == pytest.approx(np.ones(3), abs=1e-3)


def test_components_find_the_room_that_there_is(job, reports, untrained) -> None:
    train(job(RECIPE.model_copy(update={"latent_dim": 1}), encoders=untrained))
    unmixing = json.loads((reports.checkpoints[4] / "published/unmixing.json").read_text())
    assert unmixing["num_components"] == 1, "of two attributes"
    reports.folder = reports.folder / "three"
    asked = {"num_components": 3, "latent_dim": 3}
    train(job(RECIPE.model_copy(update=asked), encoders=untrained))
    assert load_model(reports.checkpoints[4] / "published").latent_dim == 3
    asked = {"num_components": 9, "latent_dim": 9}
    with pytest.raises(ConfigError, match=r"num_components = 9 is more than the 8 features"):
        train(job(RECIPE.model_copy(update=asked), encoders=untrained))


def test_directions_that_do_not_vary_are_no_components() -> None:
    features = np.random.default_rng(0).laplace(size=(500, 2)) @ np.ones((2, 4))
    assert unmix(encoded(features), RECIPE)[1].num_components == 1
    with pytest.raises(
        DataError, match=r"only 1 directions .* recipe\.unmixing\.num_components; 0"
    ):
        unmix(encoded(features), RECIPE.model_copy(update={"num_components": 2}))


def test_our_encoder_learns_the_components_of_a_model_that_is_not_ours(
    job, reports, dataset, tmp_path
) -> None:
    """Features that mix two factors with noise, as if a large model had made them."""
    table = load_images(dataset, "train")
    factors = np.stack([table.factors["red"], table.factors["left"]], axis=1)
    rng = np.random.default_rng(0)
    features = factors @ rng.normal(size=(2, 5)) + 0.01 * rng.normal(size=(len(table), 5))
    store_features(tmp_path, table.ids, features)
    train(job(RECIPE.model_copy(update={"steps": 80}), encoders=tmp_path))
    published = reports.checkpoints[80] / "published"
    test = load_images(dataset, "test")
    codes = Representation.load(published).encode(test.pixels)
    truth = np.stack([test.factors["red"], test.factors["left"]], axis=1)
    assert mcc(codes[:, :2], truth) > 0.9
    imitation = [metrics["imitation"] for _, metrics in reports.rows]
    assert imitation[-1] < 0.2, "of two components of variance 1"


def store_features(folder: Path, ids: np.ndarray, features: np.ndarray) -> None:
    flat = pa.array(features.astype(np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(flat, features.shape[1])
    write_features(pa.table({"id": ids, "features": column}), folder)
    described = {"kind": "image_features", "net": "conv", "num_attributes": 2}
    (folder / "model.json").write_text(json.dumps(described))


def test_features_of_other_images_are_refused(job, dataset, tmp_path) -> None:
    ids = load_images(dataset, "train").ids
    store_features(tmp_path, ids[::-1] + 1, np.zeros((len(ids), 3)))
    with pytest.raises(DataError, match="take encoders and dataset from one run"):
        train(job(RECIPE, encoders=tmp_path))


def test_of_gaussian_directions_fewer_components_are_taken(monkeypatch) -> None:
    """Two sources that ICA can find, the strongest, and four that nothing tells apart."""
    rng = np.random.default_rng(0)
    sources = np.hstack([3 * rng.laplace(size=(2_000, 2)), rng.normal(size=(2_000, 4))])
    impatient = partial(fit_unmixing, max_iterations=20)
    monkeypatch.setattr("gdrl.training.encoded.fit_unmixing", impatient)
    mixed = encoded(sources, num_attributes=6)
    recipe = RECIPE.model_copy(update={"latent_dim": 6})
    fit, unmixed = unmix(mixed, recipe)
    assert 2 <= unmixed.num_components < 6
    assert mcc(fit.transform(mixed.features), sources[:, :2]) > 0.95
    told = r"FastICA\(6\) still moved .*recipe\.unmixing\.num_components; 0 takes"
    with pytest.raises(TrainingFailed, match=told):
        unmix(mixed, recipe.model_copy(update={"num_components": 6}))


def test_encoders_are_no_model_that_decodes(untrained) -> None:
    with pytest.raises(ArtifactCorrupt, match="load the run's components"):
        load_model(untrained)
    save_model(BetaVae(2), untrained)
    with pytest.raises(ArtifactCorrupt, match="holds a beta_vae: load the run's encoders"):
        load_encoders(untrained)
