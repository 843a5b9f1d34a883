from pathlib import Path

import numpy as np
import pytest
import torch

from gdrl.errors import ConfigError
from gdrl.models.beta_vae import BetaVae
from gdrl.models.discriminator import Discriminator
from gdrl.models.graph_vae import GraphVae
from gdrl.models.representation import Representation
from gdrl.models.storage import save_model
from gdrl.training import losses

PAIRS = [("conv", 64), ("residual", 64), ("residual", 128), ("residual", 256)]


def count(module: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize(
    ("net", "size", "encoder", "decoder"),
    [
        ("conv", 64, 381_386, 381_059),
        ("residual", 64, 1_127_658, 989_859),
        ("residual", 128, 1_439_338, 1_301_539),
        ("residual", 256, 1_751_018, 1_613_219),
    ],
)
def test_a_pair_has_these_many_weights_and_keeps_the_size(net, size, encoder, decoder) -> None:
    model = BetaVae(5, net, size)
    assert (count(model.encoder), count(model.decoder)) == (encoder, decoder)
    mean, logvar = model.posterior(torch.rand(2, 3, size, size))
    assert mean.shape == logvar.shape == (2, 5)
    assert model.decode(mean).shape == (2, 3, size, size)


@pytest.mark.parametrize(("net", "size"), PAIRS)
def test_one_step_on_an_image_lowers_its_error(net, size) -> None:
    torch.manual_seed(0)
    model, images = BetaVae(4, net, size), torch.rand(2, 3, size, size).round()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def error() -> torch.Tensor:
        return losses.squared_error(model.logits(model.posterior(images)[0]), images)

    before = error()
    before.backward()
    assert all(p.grad is not None for name, p in model.named_parameters() if "logvar" not in name)
    optimiser.step()
    assert error() < before


def test_an_untrained_residual_pair_is_its_skips() -> None:
    model = BetaVae(4, "residual", 64)
    images = torch.rand(2, 3, 64, 64)
    before = model.posterior(images)[0]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".first." in name:
                weight.zero_()
    torch.testing.assert_close(model.posterior(images)[0], before)


@pytest.mark.parametrize(("net", "size"), [("conv", 128), ("residual", 96), ("linear", 64)])
def test_a_net_without_this_size_is_refused_with_what_to_set(net, size) -> None:
    refused = rf"net = {net} takes no images of .* set recipe\.vae\.net, or"
    with pytest.raises(ConfigError, match=refused):
        BetaVae(4, net, size)


@pytest.mark.parametrize(("net", "size"), PAIRS[1:3])
def test_a_residual_graph_vae_is_stored_and_loaded(net, size, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = GraphVae(4, 1, net, size)
    save_model(model, tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    loaded = Representation.load(tmp_path)
    np.testing.assert_array_equal(
        loaded.reconstruct(pixels), Representation(model).reconstruct(pixels)
    )


@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_discriminator_looks_at_images_of_any_of_the_sizes(size) -> None:
    assert Discriminator(4, size)(torch.rand(2, 3, size, size), torch.randn(2, 4)).shape == (2,)
