"""How fast the β-VAE trains on Ray Train workers, beside a bare PyTorch loop and other libraries.

    python benchmarks/training.py [--rounds 3] [--steps 200] [--with-rivals PYTHON]

Batch 128 of 64 x 64 images, the same nets, Adam and precision for all; the sides take turns, and
medians count. The bare loop has its images as float tensors in memory, and does nothing but steps.
Here data come from a data set's parquet files, and losses go to logs. Every rate is that of steps
in the middle of training: what happens once (workers, data, nets, loaders, the first step) is left
out on all sides, and so is the checkpoint made halfway here.

- ``vs_bare``: images/s of one worker with one thread over the bare loop's.
- ``from_file``: one worker whose images do not fit into ``image_memory_gb``, over one that holds
  them; the page cache has them all.
- ``two_workers``: two workers with one thread each over one worker with two threads, at the slowest
  of ZeRO-0 to 2. On two hyper-threads of one core neither can show more than that core has.
- ``start_seconds``: what a Ray Train run costs besides its steps: workers up, data read, published.
- ``checkpoint_share``: what checkpoints cost of the time at the default interval.
- ``vs_pythae``, ``vs_disent``: over their trainers at their defaults, in the Python that
  ``--with-rivals`` names (one with pythae, disent, torch and jaxtyping); see training_rivals.py.

Prints a table; the last line is one JSON object, null for what was not run.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from overlap import finished, train  # type: ignore[import-not-found]  # beside this script

from gdrl.artifacts import Source, Storage
from gdrl.config import DatasetRecipe, TrainScale, VaeRecipe
from gdrl.data.table import load_images
from gdrl.distributed.session import connect, disconnect
from gdrl.models.beta_vae import BetaVae, sample
from gdrl.training import losses
from gdrl.training.batches import to_images
from gdrl.training.loop import LOG_EVERY_STEPS

BATCH_SIZE = 128
FROM_FILE = "ours, from a file"
RIVALS = ("pythae", "disent")


@dataclass(frozen=True)
class Trained:
    """What one run took."""

    images_per_second: float
    start_seconds: float
    checkpoint_seconds: float


def bare(pixels: torch.Tensor, recipe: VaeRecipe) -> float:
    """Images per second of the plainest loop that trains the same model."""
    torch.set_num_threads(1)
    images = to_images(pixels)
    vae = BetaVae(recipe.latent_dim)
    adam = torch.optim.Adam(vae.parameters(), lr=recipe.learning_rate)
    start = 0.0
    for step in range(recipe.steps + 1):
        if step == 1:
            start = time.perf_counter()
        batch = images[torch.randint(len(images), (BATCH_SIZE,))]
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = bare_loss(vae, batch, recipe)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return recipe.steps * BATCH_SIZE / (time.perf_counter() - start)


def bare_loss(vae: BetaVae, batch: torch.Tensor, recipe: VaeRecipe) -> torch.Tensor:
    """The objective of ``recipe``'s defaults."""
    mean, logvar = vae.posterior(batch)
    logits = vae.logits(sample(mean, logvar, torch.randn_like(mean)))
    kl = losses.kl_by_latent(mean, logvar).sum()
    error = losses.squared_error(logits, batch)
    return recipe.reconstruction_weight * error + recipe.beta * kl


def ours(dataset: Source, recipe: VaeRecipe, **scale: Any) -> Trained:
    """A whole run of the ``train_vae`` stage."""
    halfway = recipe.steps // 2
    start = time.perf_counter()
    laps = train(dataset, recipe, TrainScale(checkpoint_every_steps=halfway, **scale))
    wall = time.perf_counter() - start
    # Without the first lap, which has the first step in it.
    seconds = [after["seconds"] - before["seconds"] for before, after in pairwise(laps)]
    # The lap after the checkpoint pays for it.
    saving = next(k for k, lap in enumerate(laps[:-1]) if lap["step"] == halfway)
    others = seconds[:saving] + seconds[saving + 1 :]
    rate = len(others) * LOG_EVERY_STEPS * BATCH_SIZE / sum(others)
    checkpoint = max(0.0, seconds[saving] - statistics.median(others))
    return Trained(rate, wall - laps[-1]["seconds"], checkpoint)


def rival(name: str, python: str, pixels: Path, recipe: VaeRecipe) -> float:
    """Images per second of another library, in a process of its own."""
    script = Path(__file__).with_name("training_rivals.py")
    command = [python, str(script), name, str(pixels), recipe.model_dump_json()]
    path = {"PYTHONPATH": str(Path(__file__).parents[1])}
    environment = os.environ | path | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(json.loads(done.stdout.splitlines()[-1])["images_per_second"])


def in_turns(
    dataset: Source, recipe: VaeRecipe, options: argparse.Namespace
) -> dict[str, list[float | Trained]]:
    """Every side once a round."""
    pixels = torch.from_numpy(load_images(dataset.open(), "train").pixels)
    stored = Path(options.folder) / "pixels.pt"
    torch.save(pixels, stored)
    found: dict[str, list[float | Trained]] = {}
    for _ in range(options.rounds):
        found.setdefault("bare", []).append(bare(pixels, recipe))
        found.setdefault("ours", []).append(ours(dataset, recipe))
        found.setdefault(FROM_FILE, []).append(ours(dataset, recipe, image_memory_gb=1e-6))
        if options.two_workers:
            for stage in range(3):
                one = ours(dataset, recipe, threads_per_worker=2, zero_stage=stage)
                two = ours(dataset, recipe, num_workers=2, zero_stage=stage)
                found.setdefault(f"1 worker x 2, ZeRO-{stage}", []).append(one)
                found.setdefault(f"2 workers x 1, ZeRO-{stage}", []).append(two)
        for name in RIVALS if options.with_rivals else ():
            found.setdefault(name, []).append(rival(name, options.with_rivals, stored, recipe))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200, help="a multiple of 100, at least 200")
    parser.add_argument("--images", type=int, default=4_000)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--no-two-workers", dest="two_workers", action="store_false")
    parser.add_argument("--with-rivals", metavar="PYTHON", help="a Python with pythae and disent")
    options = parser.parse_args()
    if options.steps < 200 or options.steps % 100:
        parser.error(f"--steps {options.steps}: a multiple of 100, at least 200")
    recipe = VaeRecipe(steps=options.steps, batch_size=BATCH_SIZE, precision=options.precision)
    connect()
    with tempfile.TemporaryDirectory() as options.folder:
        world = DatasetRecipe(source="dsprites_like", num_images=options.images)  # is drawn fast
        dataset = finished(Storage(options.folder), world)
        found = in_turns(dataset, recipe, options)
    disconnect()
    report(found, recipe, options)


def report(
    found: dict[str, list[float | Trained]], recipe: VaeRecipe, options: argparse.Namespace
) -> None:
    """Medians as a table, ratios as JSON."""
    speed = {name: statistics.median(map(images_per_second, runs)) for name, runs in found.items()}
    for name, value in speed.items():
        print(f"{name:<24}{value:9.0f} images/s")
    mine = [run for run in found["ours"] if isinstance(run, Trained)]
    checkpoint = statistics.median(run.checkpoint_seconds for run in mine)
    interval = TrainScale().checkpoint_every_steps * BATCH_SIZE / speed["ours"]
    ratios = [
        speed[f"2 workers x 1, ZeRO-{stage}"] / speed[f"1 worker x 2, ZeRO-{stage}"]
        for stage in (range(3) if options.two_workers else ())
    ]
    summary = {
        "benchmark": "training",
        "vs_bare": ratio(speed, "bare"),
        "vs_pythae": ratio(speed, "pythae"),
        "vs_disent": ratio(speed, "disent"),
        "from_file": round(speed[FROM_FILE] / speed["ours"], 3),
        "two_workers": round(min(ratios), 3) if ratios else None,
        "two_workers_by_zero_stage": [round(value, 3) for value in ratios],
        "images_per_second": round(speed["ours"], 1),
        "start_seconds": round(statistics.median(run.start_seconds for run in mine), 2),
        "checkpoint_seconds": round(checkpoint, 3),
        "checkpoint_share": round(checkpoint / interval, 4),
        "rounds": options.rounds,
        "steps": options.steps,
        "precision": recipe.precision,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
    }
    print(json.dumps(summary))


def images_per_second(run: float | Trained) -> float:
    """Of whatever a side returned."""
    return run.images_per_second if isinstance(run, Trained) else run


def ratio(speed: dict[str, float], other: str) -> float | None:
    """Ours over another's; None where that was not run."""
    return round(speed["ours"] / speed[other], 3) if other in speed else None


if __name__ == "__main__":
    main()
