"""Do β-VAE training and MLLM scoring overlap? Each alone, then both at once, one thread each.

    python benchmarks/overlap.py [--rounds 3] [--steps 1000] [--images 1500]

What counts is wall time from a connected cluster to the finished artifact, start-up of workers and
replicas included. Prints a table; the last line is one JSON object: its ``overlap`` is the time of
both at once over that of the longer one alone (1: the shorter one is free; about 2: it is not).
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pyarrow as pa

from gdrl.artifacts import Run, Source, Storage, open_store
from gdrl.config import (
    DatasetRecipe,
    MLLMRecipe,
    MLLMScale,
    Recipe,
    RunConfig,
    StreamScale,
    TrainScale,
    VaeRecipe,
)
from gdrl.data.table import load_images, read_description
from gdrl.distributed.serve import serving
from gdrl.distributed.session import connect, disconnect
from gdrl.distributed.stream import score_stream
from gdrl.distributed.train import fit
from gdrl.execution import execute
from gdrl.tracking import MetricLog

Work = Callable[[], None]


def finished(storage: Storage, dataset: DatasetRecipe) -> Source:
    """The ``prepare_data`` stage, on the connected cluster."""
    recipe = Recipe(dataset=dataset)
    config, store = RunConfig(storage=storage.uri, recipe=recipe), open_store(storage)
    execute(config, store, artifact="dataset", session=lambda _: nullcontext())
    return Run(store, config.name).source("dataset")


def train(dataset: Source, recipe: VaeRecipe, scale: TrainScale) -> list[dict[str, float]]:
    """The ``train_vae`` stage, from nothing; the lines of its metric log."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        fit(
            "gdrl.training.vae:train",
            name="train_vae",
            recipe=recipe,
            inputs={"dataset": dataset},
            scale=scale,
            storage=Storage(folder),
            out=out,
        )
        return list(MetricLog(out / "metrics.jsonl"))


def score(dataset: Source, num_images: int) -> None:
    """The ``score_images`` stage, with the embedded MLLM."""
    ids = load_images(dataset.open(), "train").ids[:num_images]
    attributes = read_description(dataset.open()).attributes
    with serving(MLLMRecipe(), MLLMScale()) as mllm, tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)  # new each time, so that no answer is known
        blocks = score_stream(dataset, ids, attributes, mllm, StreamScale(), storage)
        table = pa.concat_tables(blocks)
    if set(table.column("status").to_pylist()) != {"ok"}:
        raise SystemExit("some questions were not answered: the time means nothing")


def seconds(*works: Work) -> float:
    """Wall time until all of ``works``, each in a thread, are done."""
    start = time.perf_counter()
    with ThreadPoolExecutor(len(works)) as threads:
        for future in [threads.submit(work) for work in works]:
            future.result()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1_000, help="of the β-VAE")
    parser.add_argument("--images", type=int, default=1_500, help="shown to the MLLM")
    options = parser.parse_args()
    connect()
    with tempfile.TemporaryDirectory() as folder:
        faces = DatasetRecipe(num_images=2 * options.images)
        dataset = finished(Storage(folder), faces)

        def train_alone() -> None:
            train(dataset, VaeRecipe(steps=options.steps), TrainScale())

        def score_alone() -> None:
            score(dataset, options.images)

        rounds = [
            (seconds(train_alone), seconds(score_alone), seconds(train_alone, score_alone))
            for _ in range(options.rounds)
        ]
    disconnect()
    print_table(rounds, options)


def print_table(rounds: Sequence[tuple[float, float, float]], options: argparse.Namespace) -> None:
    """Medians of (training, scoring, both) in seconds; the last line as JSON."""
    train_seconds, score_seconds, both_seconds = map(statistics.median, zip(*rounds, strict=True))
    overlap = both_seconds / max(train_seconds, score_seconds)
    for name, value in (
        ("train_vae alone", train_seconds),
        ("score_images alone", score_seconds),
        ("one after the other", train_seconds + score_seconds),
        ("at the same time", both_seconds),
    ):
        print(f"{name:<20} {value:7.1f} s")
    print(
        json.dumps(
            {
                "benchmark": "overlap",
                "overlap": round(overlap, 3),
                "train_seconds": round(train_seconds, 2),
                "score_seconds": round(score_seconds, 2),
                "together_seconds": round(both_seconds, 2),
                "rounds": options.rounds,
                "steps": options.steps,
                "images": options.images,
            }
        )
    )


if __name__ == "__main__":
    main()
