import json
from pathlib import Path

import pytest
import torch

from gdrl.errors import ArtifactCorrupt, ArtifactMissing
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.models.discriminator import Discriminator
from gdrl.models.graph_vae import GraphVae
from gdrl.models.storage import load_graph_vae, load_model, save_model


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def graph_vae() -> GraphVae:
    torch.manual_seed(0)
    model = GraphVae(latent_dim=4, num_layers=2).eval()
    with torch.no_grad():
        model.disgraph.weight[0, 1] = -0.5
    return model


def test_images_become_codes_and_codes_images(images) -> None:
    model = BetaVae(latent_dim=5)
    mean, logvar = model.posterior(images)
    assert mean.shape == logvar.shape == (3, 5)
    decoded = model.decode(sample(mean, logvar, torch.randn(3, 5)))
    assert decoded.shape == images.shape
    assert ((decoded > 0) & (decoded < 1)).all()


def test_a_sample_without_noise_is_the_mean() -> None:
    mean = torch.tensor([[1.0, -2.0]])
    assert torch.equal(sample(mean, torch.zeros(1, 2), torch.zeros(1, 2)), mean)


def test_flipped_latents_change_codes_but_no_image(images) -> None:
    model = BetaVae(latent_dim=3).eval()
    before, picture = model.posterior(images)[0], model.decode(model.posterior(images)[0])
    signs = torch.tensor([1.0, -1.0, 1.0])
    model.flip_latents(signs)
    torch.testing.assert_close(model.posterior(images)[0], before * signs)
    torch.testing.assert_close(model.decode(before * signs), picture)


def test_a_discriminator_gives_one_logit_a_pair(images) -> None:
    assert Discriminator(latent_dim=4)(images, torch.randn(3, 4)).shape == (3,)


def test_a_stored_model_comes_back_whole(graph_vae, images, tmp_path: Path) -> None:
    save_model(graph_vae, tmp_path)
    loaded = load_graph_vae(tmp_path)
    codes = graph_vae.posterior(images)[0]
    torch.testing.assert_close(loaded.posterior(images)[0], codes)
    torch.testing.assert_close(loaded.decode(codes), graph_vae.decode(codes))


def test_a_stored_graph_without_signs_stays_without(tmp_path: Path) -> None:
    save_model(GraphVae(4, 1, signed=False), tmp_path)
    assert not load_graph_vae(tmp_path).disgraph.signed
    description = json.loads((tmp_path / "model.json").read_text())
    del description["signed"]  # as it was before graphs could be without
    (tmp_path / "model.json").write_text(json.dumps(description))
    assert load_graph_vae(tmp_path).disgraph.signed


def test_a_missing_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing, match="train the model first"):
        load_model(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_model(BetaVae(latent_dim=4), tmp_path)
    description = {"kind": "beta_vae", "net": "conv", "image_size": 64, "latent_dim": 5}
    (tmp_path / "model.json").write_text(json.dumps(description))
    with pytest.raises(ArtifactCorrupt, match="does not fit"):
        load_model(tmp_path)


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    save_model(BetaVae(latent_dim=4), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ArtifactCorrupt, match="does not fit"):
        load_model(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"kind": "transformer"}', '{"kind": "beta_vae"}'])
def test_a_description_of_no_known_model_is_refused(tmp_path: Path, text: str) -> None:
    save_model(BetaVae(latent_dim=4), tmp_path)
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ArtifactCorrupt, match=r"describe"):
        load_model(tmp_path)


def test_a_beta_vae_is_no_disgraph(tmp_path: Path) -> None:
    save_model(BetaVae(latent_dim=4), tmp_path)
    with pytest.raises(ArtifactCorrupt, match="beta_vae, which has no graph"):
        load_graph_vae(tmp_path)
