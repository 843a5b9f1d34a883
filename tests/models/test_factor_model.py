import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from seaweed import Seaweed
from small_artifact import describe

from gdrl import FactorModel
from gdrl.artifacts import LocalStore, Run, Storage, open_store
from gdrl.errors import ArtifactCorrupt, ArtifactMissing, ConfigError
from gdrl.graph import CorrelationGraph
from gdrl.models.beta_vae import BetaVae
from gdrl.models.factor_model import Factor
from gdrl.models.graph_vae import GraphVae
from gdrl.models.storage import save_model

NAMES = ("hat", "smile")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)


@pytest.fixture
def commit(store: LocalStore) -> Callable[..., str]:
    """Finish an artifact of run ``demo`` with what ``write(folder)`` puts there; its address."""

    def build(artifact: str, write: Callable[[Path], object]) -> str:
        finish(Run(store, "demo"), artifact, write)
        return str(store.location(f"demo/{artifact}"))

    return build


def finish(run: Run, artifact: str, write: Callable[[Path], object]) -> None:
    out = run.begin(artifact, artifact)
    write(out.path)
    run.commit(out, describe(out))


def write_disgraph(folder: Path) -> None:
    """Latent 2 is a hat and latent 0 less of a smile; a hat goes with a smile, and less back."""
    torch.manual_seed(0)
    save_model(GraphVae(latent_dim=3, num_layers=1), folder)
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
    # By 0.4 of the smile's -2 where the hat rises by all of its 2.
    risen = (1.0 - codes[:, 2]) / 2
    np.testing.assert_allclose(moved[:, 0] - codes[:, 0], 0.4 * -2 * risen, rtol=1e-4)
    np.testing.assert_array_equal(moved[:, 1], codes[:, 1])
    done = model.intervene(images, {"hat": 1.0})
    np.testing.assert_array_equal(done.images, model.decode(moved))
    np.testing.assert_allclose(done.moved["hat"], risen, rtol=1e-4)
    np.testing.assert_allclose(done.moved["smile"], 0.4 * risen, rtol=1e-4)
    back = model.intervene(images, {"smile": 1.0})
    np.testing.assert_allclose(back.moved["hat"], 0.1 * back.moved["smile"], rtol=1e-4)


def test_without_propagation_and_among_set_ones_nothing_else_moves(
    model: FactorModel, images: np.ndarray
) -> None:
    alone = model.intervene(images, {"hat": 1.0}, propagate=False)
    np.testing.assert_allclose(alone.moved["smile"], 0, atol=1e-6)
    codes = model.encode(images)
    both = model.set_levels(codes, {"hat": 1.0, "smile": 0.0})
    np.testing.assert_allclose(model.levels(both)["smile"], 0, atol=1e-6)
    assert not np.shares_memory(both, codes)
    np.testing.assert_array_equal(codes, model.encode(images))


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
    [
        ({"hatt": 1.0}, "no latent carries 'hatt'; there is hat"),
        ({"HATS": 1.0}, "no latent carries 'HATS'; there is hat$"),
        ({"zebra": 1.0}, "no latent carries 'zebra'; there is smile, hat$"),
        ({"hat": np.nan}, "hat = nan"),
    ],
)
def test_a_wrong_edit_is_named(
    model: FactorModel, images: np.ndarray, values: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model.intervene(images, values)


@pytest.mark.parametrize("level", ["high", np.zeros(2), np.inf, None])
def test_a_level_that_is_no_finite_number_names_its_attribute(level: object) -> None:
    factor = Factor(2, "hat", strength=0.9, sign=1, absent=-1.0, present=1.0)
    assert factor.at(np.float32(0.75)) == factor.at(0.75) == 0.5
    assert factor.at(1) == 1.0
    with pytest.raises(ValueError, match=r"hat = .*: a level is a finite number"):
        factor.at(level)


def test_a_model_without_named_factors_says_so(model: FactorModel) -> None:
    bare = FactorModel(model.representation, model.factors[1:2], model.graph)
    with pytest.raises(ValueError, match=r"'hat': the model has no named factors$"):
        bare.set_levels(np.zeros((1, 3), np.float32), {"hat": 1.0})


def test_codes_of_another_model_are_refused(model: FactorModel) -> None:
    codes = np.zeros((2, 4), np.float32)
    for use in (model.decode, model.levels, lambda codes: model.set_levels(codes, {"hat": 1.0})):
        with pytest.raises(ValueError, match=r"codes must be floating \(n, 3\), not .* \(2, 4\)"):
            use(codes)


def test_a_traversal_of_no_frames_is_refused(model: FactorModel, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match="num_frames = 0: a traversal has at least one frame"):
        model.traverse("hat", images, num_frames=0)


def test_a_list_of_images_is_as_good_as_an_array(model: FactorModel, images: np.ndarray) -> None:
    np.testing.assert_array_equal(model.encode(list(images)), model.encode(images))
    done = model.intervene(list(images), {"hat": 1.0})
    np.testing.assert_array_equal(done.images, model.intervene(images, {"hat": 1.0}).images)


def test_images_of_another_shape_are_refused(model: FactorModel) -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \(n, 64, 64, 3\), not uint8 \(1, 32"):
        model.encode(np.zeros((1, 32, 32, 3), np.uint8))
    squares = [np.zeros((size, size, 3), np.uint8) for size in (64, 32)]
    with pytest.raises(ValueError, match=r"\(n, 64, 64, 3\), not rows of different shapes"):
        model.encode(squares)


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


def test_an_address_may_begin_at_home_or_where_one_stands(
    address: str, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = FactorModel.load(address).encode(images)
    monkeypatch.setenv("HOME", str(tmp_path))
    np.testing.assert_array_equal(FactorModel.load("~/runs/demo/disgraph").encode(images), codes)
    monkeypatch.chdir(Path(address).parent)
    np.testing.assert_array_equal(FactorModel.load("disgraph").encode(images), codes)


def test_a_model_loads_from_a_bucket(
    address: str, seaweed: Seaweed, images: np.ndarray, tmp_path: Path
) -> None:
    s3 = seaweed.s3.model_copy(update={"cache": str(tmp_path / "cache")})
    storage = Storage(f"s3://{seaweed.bucket()}/deep/runs", s3)
    finish(Run(open_store(storage), "demo"), "disgraph", write_disgraph)
    model = FactorModel.load(f"{storage}/demo/disgraph", s3=s3)
    np.testing.assert_array_equal(model.encode(images), FactorModel.load(address).encode(images))
    assert any((tmp_path / "cache/objects").iterdir())


@pytest.mark.parametrize("place", ["runs/demo", "/", "s3://demo/disgraph"])
def test_what_is_no_artifact_is_told_how_to_address_one(
    address: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(address).parents[2])
    with pytest.raises(ArtifactMissing, match="give the address of a run's disgraph, …/RUN/"):
        FactorModel.load(place)


def test_an_artifact_without_a_model_is_named(commit: Callable[..., str]) -> None:
    address = commit("scores", lambda folder: (folder / "scores.parquet").touch())
    with pytest.raises(ArtifactMissing, match=r"demo/scores holds no model: .* disgraph"):
        FactorModel.load(address)


@pytest.mark.parametrize("file", ["names.json", "graph.json"])
@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        lambda path: path.write_text("{}"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"latents": [{"index": 0, "attribute": "hat"}]}'),
        lambda path: path.write_text("{"),
    ],
)
def test_a_folder_of_another_schema_is_named(
    tmp_path: Path, file: str, damage: Callable[[Path], object]
) -> None:
    write_disgraph(tmp_path)
    assert FactorModel.open(tmp_path).names == ("smile", "hat")
    damage(tmp_path / file)
    with pytest.raises(ArtifactCorrupt, match=f"{file} is not that of a disgraph"):
        FactorModel.open(tmp_path)


def test_the_model_lies_on_the_device_asked_for(address: str) -> None:
    weights = FactorModel.load(address, device="meta").representation.model.parameters()
    assert {weight.device.type for weight in weights} == {"meta"}


def test_a_device_that_is_not_there_is_named(address: str) -> None:
    for device in ("cuda:99", "gpu"):
        with pytest.raises(ConfigError, match=f"device = '{device}' cannot be used here"):
            FactorModel.load(address, device=device)


def test_loading_needs_no_ray(address: str) -> None:
    program = (
        "import sys, gdrl; assert 'torch' not in sys.modules; "
        f"gdrl.FactorModel.load({address!r}); "
        "assert not {'ray', 'deepspeed'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
