import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from small_artifact import describe

from gdrl import FactorModel
from gdrl.artifacts import LocalStore, Run
from gdrl.errors import ArtifactCorrupt, ArtifactMissing
from gdrl.graph import CorrelationGraph
from gdrl.models.beta_vae import BetaVae
from gdrl.models.graph_vae import GraphVae
from gdrl.models.storage import save_model

NAMES = ("hat", "smile")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def commit(store: LocalStore) -> Callable[..., str]:
    """Finish an artifact of run ``demo`` with what ``write(folder)`` puts there; its address."""

    def build(artifact: str, write: Callable[[Path], None]) -> str:
        run = Run(store, "demo")
        out = run.begin(artifact, artifact)
        write(out.path)
        run.commit(out, describe(out))
        return str(store.location(f"demo/{artifact}"))

    return build


def write_disgraph(folder: Path) -> None:
    """Latent 2 is a hat and latent 0 less of a smile; a hat moves the latter."""
    torch.manual_seed(0)
    model = GraphVae(latent_dim=3, num_layers=1)
    with torch.no_grad():
        model.disgraph.weight[2, 0] = 0.5
    save_model(model, folder)
    rows = [
        {"attribute": "smile", "sign": -1, "absent": 4.0, "present": 2.0},
        {"attribute": None, "sign": 1, "absent": 0.0, "present": 1.0},
        {"attribute": "hat", "sign": 1, "absent": -1.0, "present": 1.0},
    ]
    latents = [{"index": i, "strength": 0.9, **row} for i, row in enumerate(rows)]
    (folder / "names.json").write_text(json.dumps({"latents": latents, "attributes": NAMES}))
    weights = np.array([[0.0, 0.4], [0.1, 0.0]])
    graph = CorrelationGraph(
        names=NAMES,
        adjacency=weights,
        lower=np.where(weights > 0, weights - 0.05, 0),
        upper=np.where(weights > 0, weights + 0.05, 0),
        support=np.ones((2, 2)),
        measure="conditional_difference",
        confidence=0.9,
        signed=True,
    )
    graph.save(folder / "graph.json")


@pytest.fixture
def address(commit: Callable[..., str]) -> str:
    return commit("disgraph", write_disgraph)


@pytest.fixture
def model(address: str) -> FactorModel:
    return FactorModel.load(address)


def test_levels_run_from_absent_to_present(model: FactorModel) -> None:
    codes = np.array([[4.0, 0.0, 0.0], [2.0, 0.0, 1.0], [1.0, 0.0, 3.0]], dtype=np.float32)
    levels = model.levels(codes)
    assert model.names == ("smile", "hat")
    np.testing.assert_allclose(levels["smile"], [0, 1, 1.5])
    np.testing.assert_allclose(levels["hat"], [0.5, 1, 2])


def test_an_edit_moves_what_the_graph_says_and_nothing_else(
    model: FactorModel, images: np.ndarray
) -> None:
    codes = model.encode(images)
    moved = model.set_levels(codes, {"hat": 1.0})
    np.testing.assert_allclose(moved[:, 2], 1.0, rtol=1e-6)
    np.testing.assert_allclose(moved[:, 0] - codes[:, 0], 0.5 * (1.0 - codes[:, 2]), rtol=1e-5)
    np.testing.assert_array_equal(moved[:, 1], codes[:, 1])
    done = model.intervene(images, {"hat": 1.0})
    np.testing.assert_array_equal(done.images, model.decode(moved))
    np.testing.assert_allclose(done.moved["smile"], (codes[:, 0] - moved[:, 0]) / 2, rtol=1e-4)


def test_without_propagation_and_among_set_ones_nothing_else_moves(
    model: FactorModel, images: np.ndarray
) -> None:
    alone = model.intervene(images, {"hat": 1.0}, propagate=False)
    np.testing.assert_allclose(alone.moved["smile"], 0, atol=1e-6)
    both = model.set_levels(model.encode(images), {"hat": 1.0, "smile": 0.0})
    np.testing.assert_allclose(model.levels(both)["smile"], 0, atol=1e-6)


def test_a_traversal_begins_absent_and_ends_present(model: FactorModel, images: np.ndarray) -> None:
    frames = model.traverse("hat", images, num_frames=3)
    assert frames.shape == (3, 3, 64, 64, 3)
    ends = [model.intervene(images, {"hat": x}, propagate=False).images for x in (0.0, 1.0)]
    np.testing.assert_array_equal(frames[:, [0, 2]], np.stack(ends, axis=1))
    moved = model.traverse("hat", images, num_frames=3, propagate=True)
    ends = [model.intervene(images, {"hat": x}).images for x in (0.0, 1.0)]
    np.testing.assert_array_equal(moved[:, [0, 2]], np.stack(ends, axis=1))


@pytest.mark.parametrize(
    ("values", "message"),
    [({"hatt": 1.0}, "no latent carries 'hatt'; there is hat"), ({"hat": np.nan}, "hat = nan")],
)
def test_a_wrong_edit_is_named(
    model: FactorModel, images: np.ndarray, values: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.intervene(images, values)


def test_images_of_another_shape_are_refused(model: FactorModel) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \(n, 64, 64, 3\), not uint8 \(1, 32"):
        model.encode(np.zeros((1, 32, 32, 3), np.uint8))


def test_the_graph_is_saved_for_others(model: FactorModel, tmp_path: Path) -> None:
    import networkx as nx

    model.graph.save(tmp_path / "graph.graphml")
    read = nx.read_graphml(tmp_path / "graph.graphml")
    assert read.edges["hat", "smile"]["weight"] == pytest.approx(0.4)
    model.graph.save(tmp_path / "graph.json")
    stored = CorrelationGraph.load(tmp_path / "graph.json")
    np.testing.assert_array_equal(stored.adjacency, [[0, 0.4], [0.1, 0]])
    with pytest.raises(ValueError, match=r"\.json or \.graphml"):
        model.graph.save(tmp_path / "graph.png")


def test_a_model_without_graph_is_refused(commit: Callable[..., str]) -> None:
    address = commit("vae", lambda folder: save_model(BetaVae(3), folder))
    with pytest.raises(ArtifactCorrupt, match="beta_vae, which has no graph"):
        FactorModel.load(address)


def test_what_is_not_there_or_was_changed_is_named(address: str) -> None:
    with pytest.raises(ArtifactMissing, match="no finished vae"):
        FactorModel.load(Path(address).with_name("vae"))
    weights = Path(address) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactCorrupt, match=r"model\.safetensors"):
        FactorModel.load(address)


def test_loading_needs_no_ray(address: str) -> None:
    program = (
        "import sys, gdrl; assert 'torch' not in sys.modules; "
        f"gdrl.FactorModel.load({address!r}); "
        "assert not {'ray', 'deepspeed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
