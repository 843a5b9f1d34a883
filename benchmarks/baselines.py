"""VAE, beta-VAE, beta-TCVAE and FactorVAE on both grid worlds: how disentangled, at what budget.

    OMP_NUM_THREADS=1 python benchmarks/baselines.py --steps 1000 --images 10000 --processes 2

One run per world, correlation (none; the literature's ``single_1`` pair at sigma 0.1), objective
and seed. Training uses the plain entry ``gdrl.training.vae.train``; scores come from an
*uncorrelated* draw of the world, with fast settings: MIG, DCI, FactorVAE score, SAP, how the trees
tie the pair and the median other pair, and the MSE of the first 1,000. The seed decides weights,
batches and noise; all runs of a world and correlation see the same images. As in the literature:
10 latents, Bernoulli likelihood, batch 64, one beta from each published sweep. White on black in
three equal channels would count three times, so ``dsprites_like`` weighs its reconstruction by 1/3.
Unlike it: 300,000 steps are out of a CPU's reach, so the learning rate warms up and falls, from a
higher peak (--steps 300000 --learning-rate 1e-4 --images 400000 --gpu comes closest).

Each finished run is a JSON line of ``--out``; runs found there, of equal settings, are not
repeated. Seconds are CPU seconds, which a busy machine distorts least. Prints a table; the last
line is one JSON object.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from published import published  # type: ignore[import-not-found]  # beside this script

from gdrl import evaluation as measure
from gdrl.config import CorrelationRecipe, DatasetRecipe, VaeRecipe
from gdrl.data import dsprites_like, shapes3d_like
from gdrl.data.correlation import sample
from gdrl.data.grid_world import GRID_WORLDS, draw_rows, grid_images
from gdrl.data.prepare import describe
from gdrl.data.source import one_by_one
from gdrl.data.table import Row, write_description, write_images

BETAS = {"vae": 1.0, "beta_vae": 4.0, "beta_tcvae": 6.0, "factor_vae": 10.0}
PAIRS = {"dsprites_like": dsprites_like.PAIRS, "shapes3d_like": shapes3d_like.PAIRS}
CORRELATIONS = ("none", "single_1")
SIGMA = 0.1
LATENT_DIM = 10
RECONSTRUCTION_WEIGHT = {"dsprites_like": 1 / 3, "shapes3d_like": 1.0}
TRAIN_SEED, TEST_SEED = 0, 1
NUM_RECONSTRUCTED = 1_000
COLUMNS = (
    "mig",
    "dci_d",
    "dci_c",
    "dci_i",
    "factor_vae_score",
    "sap",
    "pair_tied",
    "others_tied",
    "mse",
)
Record = dict[str, Any]


@dataclass(frozen=True)
class Setting:
    """One run: what is trained on what, for how long."""

    world: str
    correlation: str
    objective: str
    seed: int
    beta: float
    steps: int
    batch_size: int
    learning_rate: float
    images: int
    test_images: int

    def dataset(self) -> DatasetRecipe:
        """Which images it trains on."""
        pairs = PAIRS[self.world]["single_1"] if self.correlation == "single_1" else ()
        return DatasetRecipe(
            source=self.world,
            correlation=CorrelationRecipe(pairs=pairs, sigma=SIGMA),
            num_images=self.images,
            seed=TRAIN_SEED,
        )

    def recipe(self) -> VaeRecipe:
        """How it trains on them."""
        return VaeRecipe.model_validate(
            {
                "objective": self.objective,
                "beta": self.beta,
                "latent_dim": LATENT_DIM,
                "reconstruction": "bernoulli",
                "reconstruction_weight": RECONSTRUCTION_WEIGHT[self.world],
                "steps": self.steps,
                "batch_size": self.batch_size,
                "learning_rate": self.learning_rate,
                "schedule": (0, 1),
                "seed": self.seed,
            }
        )


def draw_dataset(setting: Setting, root: Path) -> Path:
    """The images of a setting as a data set of training images alone; drawn once."""
    recipe = setting.dataset()
    folder = root / f"{setting.world}-{setting.correlation}"
    if not folder.exists():
        source = grid_images(recipe)
        found = one_by_one(source.read, source.chunks)
        num_images = write_images(folder, (Row(item.png or b"", "train") for item in found))
        write_description(folder, describe(recipe, source, num_images))
    return folder


def run(setting: Setting, dataset: Path, use_gpu: bool) -> Record:
    """Train and score one setting, in a process of its own."""
    from gdrl.models.representation import Representation
    from gdrl.training.vae import train

    with tempfile.TemporaryDirectory(prefix="gdrl-baselines-") as name:
        out, inputs = Path(name) / "vae", {"dataset": dataset}
        wall, cpu = time.perf_counter(), time.process_time()
        last = published(train, setting.recipe(), inputs, out, use_gpu=use_gpu)
        trained_wall, trained = time.perf_counter(), time.process_time()
        scores = score(Representation.load(out), setting)
        scored_wall, scored = time.perf_counter(), time.process_time()
    return {
        "setting": asdict(setting),
        "scores": scores,
        "losses": {k: v for k, v in last.items() if k not in ("images_per_second", "seconds")},
        "images_per_second": setting.steps * setting.batch_size / last["seconds"],
        "train_cpu_seconds": trained - cpu,
        "score_cpu_seconds": scored - trained,
        "train_wall_seconds": trained_wall - wall,
        "score_wall_seconds": scored_wall - trained_wall,
        "device": "gpu" if use_gpu else "cpu",
    }


def score(model: Any, setting: Setting) -> dict[str, float]:
    """Fast scores on the uncorrelated world, and how tied the pair is."""
    world = GRID_WORLDS[setting.world]
    factors = sample(world.grid, setting.test_images, TEST_SEED)
    pixels = np.stack(list(draw_rows(world, factors)))
    codes = model.encode(pixels).astype(np.float64)
    shown = pixels[:NUM_RECONSTRUCTED]
    trees = measure.dci(codes, factors, fast=True)
    first, second = (world.grid.position(name) for name in PAIRS[setting.world]["single_1"][0])
    tied = measure.pair_entanglement(trees.importance, (first, second))
    return {
        "mig": measure.mig(codes, factors),
        "dci_d": trees.disentanglement,
        "dci_c": trees.completeness,
        "dci_i": trees.informativeness,
        "factor_vae_score": measure.factor_vae_score(codes, factors, fast=True),
        "sap": measure.sap(codes, factors),
        "pair_tied": tied.pair,
        "others_tied": tied.others,
        "mse": measure.mse(shown / 255, model.reconstruct(shown) / 255),
    }


def settings_of(options: argparse.Namespace) -> list[Setting]:
    """Every run, in an order that completes one seed after another."""
    return [
        Setting(
            world,
            correlation,
            objective,
            seed,
            BETAS[objective],
            options.steps,
            options.batch_size,
            options.learning_rate,
            options.images,
            options.test_images,
        )
        for seed, world, correlation, objective in product(
            range(options.seeds), options.worlds, options.correlations, options.objectives
        )
    ]


def finished(out: Path, wanted: Iterable[Setting]) -> dict[Setting, Record]:
    """The wanted runs that ``out`` already holds."""
    lines = out.read_text().splitlines() if out.exists() else []
    records = {Setting(**record["setting"]): record for record in map(json.loads, lines)}
    return {setting: records[setting] for setting in wanted if setting in records}


def complete(settings: Sequence[Setting], options: argparse.Namespace) -> dict[Setting, Record]:
    """Run what is missing, ``--processes`` at a time, and write each down as it ends."""
    done = finished(options.out, settings)
    missing = [setting for setting in settings if setting not in done]
    print(f"{len(done)} of {len(settings)} runs are in {options.out}; {len(missing)} to go")
    # Spawned: a fork would share torch's threads and DeepSpeed's process group.
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="gdrl-baselines-data-") as root,
        ProcessPoolExecutor(options.processes, mp_context=context) as pool,
    ):
        work = partial(run, use_gpu=options.gpu)
        futures = {
            pool.submit(work, setting, draw_dataset(setting, Path(root))): setting
            for setting in missing
        }
        try:
            for future in as_completed(futures):
                setting, record = futures[future], future.result()
                done[setting] = record
                with options.out.open("a") as file:
                    file.write(json.dumps(record) + "\n")
                print(f"{len(done)}/{len(settings)} {_told(setting, record)}", flush=True)
        finally:  # one that fails stops the rest, which nobody would write down
            pool.shutdown(cancel_futures=True)
    return done


def _told(setting: Setting, record: Record) -> str:
    scores = record["scores"]
    return (
        f"{setting.world} {setting.correlation} {setting.objective} seed {setting.seed}: "
        f"MIG {scores['mig']:.3f}, DCI-D {scores['dci_d']:.3f}; "
        f"{record['images_per_second']:.0f} images/s, train "
        f"{record['train_wall_seconds']:.0f} s, score {record['score_wall_seconds']:.0f} s"
    )


def summarise(records: Iterable[Record]) -> list[Record]:
    """Mean and standard deviation over seeds, one row per world, correlation and objective."""
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        setting = record["setting"]
        key = (setting["world"], setting["correlation"], setting["objective"])
        groups.setdefault(key, []).append(record)
    rows = []
    for (world, correlation, objective), group in sorted(
        groups.items(), key=lambda item: (*item[0][:2], list(BETAS).index(item[0][2]))
    ):
        row: Record = {"world": world, "correlation": correlation, "objective": objective}
        for column in COLUMNS:
            values = [record["scores"][column] for record in group]
            spread = statistics.stdev(values) if len(values) > 1 else None
            row[column] = (statistics.fmean(values), spread)
        row["seeds"] = len(group)
        row["cpu_seconds"] = statistics.fmean(
            record["train_cpu_seconds"] + record["score_cpu_seconds"] for record in group
        )
        rows.append(row)
    return rows


def print_table(rows: Sequence[Record]) -> None:
    """The summary in markdown."""
    head = ("world", "correlated", "objective", "beta", *COLUMNS, "seeds", "CPU s")
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        beta, seconds = BETAS[row["objective"]], row["cpu_seconds"]
        cells = [row["world"], row["correlation"], row["objective"], f"{beta:g}"]
        cells += [_written(row[column], 4 if column == "mse" else 3) for column in COLUMNS]
        print(f"| {' | '.join([*cells, str(row['seeds']), f'{seconds:.0f}'])} |")


def _written(score: tuple[float, float | None], digits: int) -> str:
    mean, spread = score
    deviation = "" if spread is None else f" ± {spread:.{digits}f}"
    return f"{mean:.{digits}f}{deviation}"


def main() -> None:
    """Run, resume, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--images", type=int, default=10_000, help="training images of a world")
    parser.add_argument("--test-images", type=int, default=5_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="peak")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("baselines.jsonl"))
    parser.add_argument("--worlds", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument(
        "--correlations", nargs="+", choices=CORRELATIONS, default=list(CORRELATIONS)
    )
    parser.add_argument("--objectives", nargs="+", choices=BETAS, default=list(BETAS))
    parser.add_argument("--gpu", action="store_true", help="train on the GPU")
    options = parser.parse_args()
    budget = {
        name: getattr(options, name)
        for name in ("steps", "batch_size", "learning_rate", "images", "test_images", "seeds")
    }
    budget |= {"latents": LATENT_DIM, "sigma": SIGMA}
    print("budget: " + ", ".join(f"{name} {value}" for name, value in budget.items()))
    start = time.perf_counter()
    records = complete(settings_of(options), options)
    rows = summarise(records.values())
    print_table(rows)
    wall = round(time.perf_counter() - start, 1)
    print(
        json.dumps(
            {
                "benchmark": "baselines",
                "runs": len(records),
                "budget": budget,
                "wall_seconds": wall,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
