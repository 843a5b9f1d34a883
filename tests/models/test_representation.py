from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gdrl.models.graph_vae import GraphVae
from gdrl.models.representation import BATCH, Representation
from gdrl.models.storage import save_model


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def every_warning() -> Iterator[None]:
    """Torch warns of read-only memory once a process: here each time, and pytest raises it."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@pytest.fixture
def graph() -> GraphVae:
    torch.manual_seed(0)
    model = GraphVae(latent_dim=4, num_layers=1)
    with torch.no_grad():
        model.disgraph.weight[0, 2] = 0.5
    return model


def test_a_stored_model_gives_the_same_codes(
    tmp_path: Path, graph: GraphVae, pixels: np.ndarray
) -> None:
    save_model(graph, tmp_path)
    codes = Representation.load(tmp_path).encode(pixels)
    np.testing.assert_array_equal(codes, Representation(graph).encode(pixels))
    assert codes.shape == (5, 4)


def test_codes_do_not_depend_on_the_company(graph: GraphVae, pixels: np.ndarray) -> None:
    model = Representation(graph)
    alone = np.concatenate([model.encode(pixels[[row]]) for row in range(5)])
    np.testing.assert_allclose(model.encode(pixels), alone, atol=1e-5)


def test_images_may_run_backwards(graph: GraphVae, pixels: np.ndarray) -> None:
    model = Representation(graph)
    swapped = np.ascontiguousarray(pixels[..., ::-1])
    np.testing.assert_array_equal(model.encode(pixels[..., ::-1]), model.encode(swapped))


@pytest.mark.usefixtures("every_warning")
def test_what_is_read_only_is_taken_without_a_warning(graph: GraphVae, pixels: np.ndarray) -> None:
    model = Representation(graph)
    picture = np.asarray(Image.fromarray(pixels[0]))[None]
    assert not picture.flags.writeable
    codes = model.encode(picture)
    np.testing.assert_array_equal(codes, model.encode(pixels[:1]))
    codes.flags.writeable = False
    np.testing.assert_array_equal(model.decode(codes), model.decode(codes.copy()))


def test_more_images_than_a_batch_and_none_at_all(graph: GraphVae, pixels: np.ndarray) -> None:
    model = Representation(graph)
    rows = np.arange(BATCH + 3) % 5
    codes = model.encode(pixels[rows])
    np.testing.assert_allclose(codes, model.encode(pixels)[rows], atol=1e-5)
    assert model.encode(pixels[:0]).shape == (0, 4)
    assert model.decode(codes[:0]).shape == (0, 64, 64, 3)


@pytest.mark.parametrize("number", [np.nan, -np.inf])
def test_codes_that_are_not_finite_are_refused(graph: GraphVae, number: float) -> None:
    with pytest.raises(ValueError, match="codes hold a number that is not finite"):
        Representation(graph).decode(np.array([[0.0, number, 0.0, 0.0]]))


def test_traversal_moves_one_latent_and_holds_the_others(graph: GraphVae) -> None:
    model = Representation(graph)
    codes = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    strips = model.traverse(codes, latent=1, num_faces=2, num_frames=3, num_deviations=2.0)
    middle = codes[:2].copy()
    middle[:, 1] = codes[:, 1].mean()
    assert strips.shape == (2, 3, 64, 64, 3)
    np.testing.assert_array_equal(strips[:, 1], model.decode(middle))
