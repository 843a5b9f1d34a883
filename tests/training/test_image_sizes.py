"""Both stages at 128 pixels, through the plain entries."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdrl.config import DisGraphRecipe, VaeRecipe
from gdrl.data.pictures import encode_png
from gdrl.data.table import DatasetDescription, Row, load_images, write_description, write_images
from gdrl.errors import ConfigError
from gdrl.graph import CorrelationGraph
from gdrl.models.factor_model import FactorModel
from gdrl.models.representation import Representation
from gdrl.training import disgraph, vae

SIZE = 128
RECIPE = VaeRecipe(net="residual", latent_dim=3, steps=1, batch_size=4)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images of 128 pixels, the upper or the lower half bright."""
    folder = tmp_path_factory.mktemp("large")
    rows = []
    for number in range(12):
        pixels = np.full((SIZE, SIZE, 3), 40, np.uint8)
        pixels[: SIZE // 2] += 150 * (number % 2)
        rows.append(Row(encode_png(pixels), "train", factors={"bright": float(number % 2)}))
    write_images(folder, rows)
    write_description(
        folder,
        DatasetDescription(
            source="halves",
            kind="world",
            style=None,
            num_images=len(rows),
            num_quarantined=0,
            image_size=SIZE,
            attributes=("bright", "dark"),
            truth=None,
            attribution="",
            seed=0,
        ),
    )
    return folder


def test_both_stages_train_and_load(job, reports, large: Path, tmp_path: Path) -> None:
    vae.train(job(RECIPE, dataset=large))
    trained = reports.checkpoints.pop(1)
    described = json.loads((trained / "published/model.json").read_text())
    assert (described["net"], described["image_size"]) == ("residual", SIZE)
    inputs = annotate(tmp_path / "inputs", large)
    recipe = DisGraphRecipe(
        steps=1, batch_size=4, scored_per_batch=2, adversarial_weight=0.8, joint_kl_weight=0.6
    )
    reports.folder = tmp_path / "joint"
    disgraph.train(job(recipe, dataset=large, extracted=trained / "published", **inputs))
    model = FactorModel.open(reports.checkpoints[1] / "published")
    pixels = load_images(large, "train").pixels
    assert model.traverse("dark", pixels[:2], 3).shape == (2, 3, SIZE, SIZE, 3)
    assert Representation.load(trained / "published").reconstruct(pixels).shape == pixels.shape


def annotate(folder: Path, dataset: Path) -> dict[str, Path]:
    """True factors as scores, no latent named, no edge drawn."""
    folders = {name: folder / name for name in ("names", "scores", "graph")}
    for path in folders.values():
        path.mkdir(parents=True)
    rows = [{"index": i, "attribute": None, "strength": 0.0, "sign": 1} for i in range(3)]
    (folders["names"] / "names.json").write_text(json.dumps({"latents": rows}))
    table = load_images(dataset, "train")
    bright = 5 * table.factors["bright"]
    columns = {
        "id": np.repeat(table.ids, 2),
        "attribute": ["bright", "dark"] * len(table),
        "expectation": np.stack([bright, 5 - bright], axis=1).ravel().astype(float),
    }
    pq.write_table(pa.table(columns), folders["scores"] / "scores.parquet")
    zeros = np.zeros((2, 2))
    graph = CorrelationGraph(
        ("bright", "dark"), zeros, zeros, zeros, zeros, "conditional_difference", 0.9, True
    )
    graph.save(folders["graph"] / "graph.json")
    return folders


def test_a_borrowed_dataset_of_another_size_is_refused(job, large: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"net = conv takes no images of 128.*set recipe\.vae\.net"
    ):
        vae.train(job(RECIPE.model_copy(update={"net": "conv"}), dataset=large))
