"""The worlds of benchmarks/gem.py on disk: images, answers about them, and a reader of edits.

All of a world, seed and size lies in one folder, is drawn once, and is left to be found again.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy import ndarray
from safetensors.torch import load_file, save_file
from torch import Tensor

from gdrl.config import CorrelationRecipe, DatasetRecipe
from gdrl.data import faces, shapes3d_like
from gdrl.data.causal_model import CausalModel
from gdrl.data.correlation import Correlation, population_association, sample
from gdrl.data.faces import face_images
from gdrl.data.grid_world import GRID_WORLDS, draw_rows, grid_images
from gdrl.data.pictures import encode_png
from gdrl.data.prepare import describe
from gdrl.data.source import ImageSource, one_by_one
from gdrl.data.table import Row, load_images, load_pixels, write_description, write_images
from gdrl.mllm import embedded
from gdrl.mllm.engine import Query
from gdrl.mllm.questions import LEVELS, score_query
from gdrl.models.encoder import conv_encoder
from gdrl.training.batches import to_images

SIGMA = 0.1
GRID_PAIRS = shapes3d_like.PAIRS["single_1"]
FACE_PAIR = ("long hair", "beard")
"""A strong negative edge whose ends both have a latent in every recipe."""
TEST_SEED, READER_SEED, EDIT_SEED = 10_000, 20_000, 30_000
MAX_SCORED = 5_000
NUM_LEVELS = len(LEVELS)
PARAPHRASES = (
    "From 0 (absent) to 5 (unmistakable), how strong is it in the picture? Attribute: {attribute}",
    "How present in the picture, 0 to 5, is an attribute? One digit. Attribute: {attribute}",
)


@dataclass(frozen=True)
class World:
    """A source of labelled images whose relations are known."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """Its factors."""
        return shapes3d_like.GRID.names if self.is_grid else faces.ATTRIBUTES

    @property
    def is_grid(self) -> bool:
        """Whether it is the grid of shapes."""
        return self.name == "shapes3d_like"

    @property
    def pair(self) -> tuple[int, int]:
        """The correlated pair, by position."""
        first, second = GRID_PAIRS[0] if self.is_grid else FACE_PAIR
        return self.names.index(first), self.names.index(second)

    @property
    def model(self) -> CausalModel:
        """Where the faces' attributes come from."""
        return faces.reversed_model() if self.name == "faces_reversed" else faces.MODEL

    def draw(
        self,
        number: int,
        seed: int,
        *,
        independent: bool = False,
        style: str = faces.DEFAULT_STYLE,
    ) -> tuple[ndarray, Iterator[ndarray]]:
        """Factors in [0, 1], and the images one by one; ``style`` is of faces alone."""
        if self.is_grid:
            grid = shapes3d_like.GRID
            correlation = Correlation(() if independent else GRID_PAIRS, SIGMA)
            rows = sample(grid, number, seed, correlation)
            return grid.scaled(rows), draw_rows(GRID_WORLDS[self.name], rows)
        rows = faces.sample_factors(number, seed, independent=independent, model=self.model)
        return rows.astype(float), faces.render_rows(rows, seed, style)

    def images(self, number: int, seed: int) -> tuple[DatasetRecipe, ImageSource]:
        """What :meth:`draw` draws, on its way into a data set."""
        if self.is_grid:
            pairs = CorrelationRecipe(pairs=GRID_PAIRS, sigma=SIGMA)
            grid = DatasetRecipe(source=self.name, num_images=number, seed=seed, correlation=pairs)
            return grid, grid_images(grid)
        recipe = DatasetRecipe(source=self.name, num_images=number, seed=seed)
        return recipe, face_images(recipe, self.model)

    def truth(self) -> ndarray:
        """Population association, both ways."""
        if self.is_grid:
            return population_association(shapes3d_like.GRID, Correlation(GRID_PAIRS, SIGMA))
        return faces.population_association(self.model)

    def effects(self) -> ndarray:
        """``P(j | do(i)) - P(j | do(not i))``; faces alone."""
        return faces.interventional(self.model)


def draw_dataset(world: World, folder: Path, number: int, seed: int) -> Path:
    """All of it to train on: what is held out is drawn apart."""
    path = folder / "dataset"
    if not (path / "dataset.json").exists():
        recipe, source = world.images(number, seed)
        found = one_by_one(source.read, source.chunks)
        values = source.values.astype(float).tolist()
        rows = (
            Row(item.png or b"", "train", factors=dict(zip(source.names, row, strict=True)))
            for item, row in zip(found, values, strict=True)
        )
        write_images(path, rows)
        write_description(path, describe(recipe, source, number))
    return path


def held_out(
    world: World,
    folder: Path,
    number: int,
    seed: int,
    *,
    independent: bool = True,
    style: str = faces.DEFAULT_STYLE,
) -> tuple[ndarray, ndarray]:
    """Images and factors of a world, without its correlations unless told otherwise."""
    drawn = "" if independent else "-correlated"
    path = folder / f"test-{number}{drawn}-{style}.npz"
    if not path.exists():
        factors, images = world.draw(number, TEST_SEED + seed, independent=independent, style=style)
        np.savez(path, pixels=np.stack(list(images)), factors=factors)
    stored = np.load(path)
    return stored["pixels"], stored["factors"]


def answers(
    world: World, folder: Path, dataset: Path, seed: int, wording: str = ""
) -> tuple[ndarray, ndarray]:
    """Ids in an order drawn, and probabilities (image, attribute, level) of at most MAX_SCORED.

    Faces are asked about, of the embedded MLLM. It knows nothing of shapes: there the levels are
    the factors, as an MLLM without errors would say.
    """
    path = folder / f"answers-{PARAPHRASES.index(wording) + 1 if wording else 0}.npz"
    if not path.exists():
        table = load_images(dataset, "train")
        ids = np.random.default_rng(seed).permutation(table.ids)[:MAX_SCORED]
        if world.is_grid:
            factors = np.stack([table.factors[name] for name in world.names], axis=1)
            levels = np.rint(factors[np.searchsorted(table.ids, ids)] * (NUM_LEVELS - 1))
            probabilities = np.eye(NUM_LEVELS)[levels.astype(int)]
        else:
            probabilities = _asked(load_pixels(dataset, ids), world.names, _query(wording))
        np.savez(path, ids=ids, probabilities=probabilities)
    stored = np.load(path)
    return stored["ids"], stored["probabilities"]


def _query(wording: str) -> Callable[[bytes, str], Query]:
    if not wording:
        return score_query
    return lambda image, name: Query((image,), wording.format(attribute=name), LEVELS, "paraphrase")


def _asked(pixels: ndarray, names: Sequence[str], query: Callable[[bytes, str], Query]) -> ndarray:
    from gdrl.mllm.transformers_engine import TransformersEngine

    engine = TransformersEngine(embedded.directory(), name=embedded.NAME)
    found = []
    for start in range(0, len(pixels), 16):
        pictures = [encode_png(image) for image in pixels[start : start + 16]]
        queries = [query(picture, name) for picture in pictures for name in names]
        found += [answer.probabilities for answer in engine.answer(queries)]
    return np.array(found).reshape(len(pixels), len(names), NUM_LEVELS)


def write_scores(
    path: Path,
    ids: ndarray,
    names: Sequence[str],
    probabilities: ndarray,
    flipped: float,
    seed: int,
) -> None:
    """A ``scores`` artifact; a share ``flipped`` of the answers has its levels turned round."""
    turned = np.random.default_rng([seed, 1]).random(probabilities.shape[:2]) < flipped
    said = np.where(turned[..., None], probabilities[..., ::-1], probabilities)
    rows = {
        "id": np.repeat(ids, len(names)),
        "attribute": [*names] * len(ids),
        "probabilities": said.reshape(-1, NUM_LEVELS).tolist(),
        "expectation": (said @ np.arange(NUM_LEVELS)).ravel(),
    }
    path.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(rows), path / "scores.parquet")


class Reader:
    """Says which attributes a face shows; trained on independent, labelled faces of no run."""

    def __init__(self, folder: Path, num_images: int, steps: int) -> None:
        path = folder / f"reader-{num_images}-{steps}.safetensors"
        torch.manual_seed(READER_SEED)
        self._net = conv_encoder(len(faces.ATTRIBUTES))
        world = World("faces")
        factors, images = world.draw(num_images + num_images // 8, READER_SEED, independent=True)
        if path.exists():
            state = load_file(path)
            self.accuracy = float(state.pop("accuracy"))
            self._net.load_state_dict(state)
            return
        pixels, labels = torch.from_numpy(np.stack(list(images))), torch.from_numpy(factors).float()
        self._fit(pixels[:num_images], labels[:num_images], steps)
        right = (self.read(pixels[num_images:].numpy()) > 0.5) == factors[num_images:]
        self.accuracy = float(right.mean())
        save_file({**self._net.state_dict(), "accuracy": torch.tensor(self.accuracy)}, path)

    def _fit(self, pixels: Tensor, labels: Tensor, steps: int) -> None:
        optimiser = torch.optim.Adam(self._net.parameters(), lr=1e-3)
        for step in range(steps):
            rows = torch.randint(len(pixels), (64,), generator=torch.Generator().manual_seed(step))
            logits = self._net(to_images(pixels[rows]))[0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    @torch.no_grad()
    def read(self, pixels: ndarray) -> ndarray:
        """Probabilities (image, attribute)."""
        parts = [torch.from_numpy(pixels[at : at + 256]) for at in range(0, len(pixels), 256)]
        return torch.cat([self._net(to_images(part))[0].sigmoid() for part in parts]).numpy()


def write_names(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """A ``names`` artifact of the first witness alone."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "names.json").write_text(json.dumps({"latents": list(rows)}))
