"""What does the question stream cost, beside the engine that answers?

    python benchmarks/streaming.py [--parts goodput scaling latency memory replicas] [--images 960]

- goodput: images/s of the stream over those of the same engine (the embedded MLLM) called in a bare
  batched loop, one thread each, in turns.
- scaling: images/s of 1, 2, 4 and 8 replicas of an engine that takes a fixed time for each batch,
  over as many times those of one.
- latency: what a question takes beyond the engine's fixed time, at 80 % load: four images in flight
  at five replicas that answer one at a time.
- memory: the most that driver and asking actor hold (their own pages) until 200,000 questions are
  answered, over the most until 20,000 were.
- replicas: images/s of a β-VAE's trainer while the stream has 3 replicas, and then 1 again, over
  those while it has 1; requests lost or asked twice on the way.

Prints tables; the last line is one JSON object.
"""

import argparse
import itertools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from overlap import finished, train  # type: ignore[import-not-found]  # beside this script

from gdrl.artifacts import Storage
from gdrl.config import (
    ClusterScale,
    DatasetRecipe,
    MLLMRecipe,
    MLLMScale,
    StreamScale,
    TrainScale,
    VaeRecipe,
)
from gdrl.data.prepare import prepare
from gdrl.data.table import read_description
from gdrl.distributed.deployment import DeploymentSettings, build
from gdrl.distributed.serve import SHARED_APP, Serving, serving
from gdrl.distributed.session import connect, disconnect
from gdrl.distributed.stream import score_stream
from gdrl.mllm.open import open_engine
from gdrl.mllm.questions import score_query

FIXED_LATENCY = "tests.distributed.engines:FixedLatency"
FIXED_BATCH, FIXED_SECONDS = 8, 0.5
SHARD_IMAGES = 2_048
PICTURE_BYTES = 4_096

Result = dict[str, float]


def stream(
    dataset: Path, num_images: int, attributes: Sequence[str], mllm: Serving, scale: StreamScale
) -> Iterator[pa.Table]:
    """Blocks of a stream that knows no answer yet."""
    with tempfile.TemporaryDirectory() as folder:
        yield from score_stream(
            dataset, range(num_images), attributes, mllm, scale, Storage(folder)
        )


def steady_rate(blocks: Iterator[pa.Table], num_attributes: int) -> float:
    """Images/s from the first block to the last: without the start of actors and replicas."""
    times, rows = [], []
    for block in blocks:
        if "failed" in block.column("status").to_pylist():
            raise SystemExit("some questions were not answered: the rate means nothing")
        times.append(time.perf_counter())
        rows.append(block.num_rows)
    images: float = sum(rows[1:]) / num_attributes
    return images / (times[-1] - times[0])


def write_noise(folder: Path, num_images: int) -> Path:
    """Shards of pictures that no engine of fixed latency looks at."""
    random = np.random.default_rng(0)
    for shard, start in enumerate(range(0, num_images, SHARD_IMAGES)):
        ids = np.arange(start, min(start + SHARD_IMAGES, num_images))
        images = [random.bytes(PICTURE_BYTES) for _ in ids]
        pq.write_table(
            pa.table({"id": ids, "image": images}), folder / f"images-{shard:05d}.parquet"
        )
    return folder


def goodput(options: argparse.Namespace) -> Result:
    """The embedded MLLM in a loop, and behind the stream, in turns."""
    with tempfile.TemporaryDirectory() as name:
        dataset = Path(name)
        prepare(DatasetRecipe(num_images=options.images), dataset)
        attributes = read_description(dataset).attributes
        rounds = []
        for _ in range(options.rounds):
            bare = bare_rate(dataset, attributes)
            with serving(MLLMRecipe(), MLLMScale()) as mllm:
                blocks = stream(dataset, options.images, attributes, mllm, StreamScale())
                rounds.append((bare, steady_rate(blocks, len(attributes))))
    bare, streamed = map(statistics.median, zip(*rounds, strict=True))
    for label, rate in (("bare loop", bare), ("stream", streamed)):
        print(f"{label:<12} {rate:8.1f} images/s {rate * len(attributes):10.0f} questions/s")
    ratio = statistics.median(streamed / bare for bare, streamed in rounds)
    return {"goodput": ratio, "questions_per_second": streamed * len(attributes)}


def bare_rate(dataset: Path, attributes: Sequence[str]) -> float:
    """Images/s of the engine alone, batch after batch, the first left out as warm-up."""
    table = pq.read_table(dataset / "images-00000.parquet", columns=["image"])
    images = table.column("image").to_pylist()
    engine, size = open_engine(MLLMRecipe(), num_threads=1), MLLMScale().batch_size
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    for number, batch in enumerate(batches):
        if number == 1:
            started = time.perf_counter()
        engine.answer([score_query(image, name) for image in batch for name in attributes])
    return (len(images) - size) / (time.perf_counter() - started)


def fixed_rate(dataset: Path, num_images: int, replicas: int) -> float:
    """Images/s of a stream to so many replicas of an engine that takes 500 ms for a batch of 8."""
    recipe = MLLMRecipe(model=f"{1000 * FIXED_SECONDS:g}")
    mllm_scale = MLLMScale(num_replicas=replicas, batch_size=FIXED_BATCH)
    with serving(recipe, mllm_scale, open_engine=FIXED_LATENCY) as mllm:
        scale = StreamScale(max_in_flight=2 * FIXED_BATCH * replicas)
        return steady_rate(stream(dataset, num_images, ["hat"], mllm, scale), 1)


def scaling(options: argparse.Namespace) -> Result:
    """An engine of fixed latency; as long a stream for each number of replicas."""
    rates = {}
    with tempfile.TemporaryDirectory() as name:
        dataset = write_noise(Path(name), 2 * options.images)
        for replicas in (1, 2, 4, 8):
            rates[replicas] = fixed_rate(dataset, options.images // 4 * replicas, replicas)
            limit = replicas * FIXED_BATCH / FIXED_SECONDS
            print(
                f"{replicas} replicas {rates[replicas]:8.1f} images/s, "
                f"{rates[replicas] / limit:.3f} of the engines' limit, "
                f"{rates[replicas] / rates[1] / replicas:.3f} of {replicas} x one"
            )
    return {f"scaling_{n}": rates[n] / rates[1] / n for n in (2, 4, 8)}


def latency(options: argparse.Namespace) -> Result:
    """An engine that takes 200 ms for an image."""
    mllm_scale = MLLMScale(num_replicas=5, batch_size=1)
    with tempfile.TemporaryDirectory() as name:
        dataset = write_noise(Path(name), options.images)
        with serving(MLLMRecipe(model="200"), mllm_scale, open_engine=FIXED_LATENCY) as mllm:
            scale = StreamScale(max_in_flight=4)
            rows = pa.concat_tables(stream(dataset, options.images, ["hat"], mllm, scale))
    warm = rows.column("latency_ms").to_numpy()[rows.num_rows // 10 :]
    p50, p99 = np.percentile(warm - 200, (50, 99))
    print(f"added to 200 ms: {p50:.1f} ms (median), {p99:.1f} ms (99 %), {len(warm)} images")
    return {"added_p50_ms": float(p50), "added_p99_ms": float(p99)}


def memory(options: argparse.Namespace) -> Result:
    """12 questions about each image, and an engine that takes 10 ms a batch."""
    attributes = [f"attribute {i}" for i in range(12)]
    num_images = options.questions // len(attributes)
    peaks: Result = {}
    with tempfile.TemporaryDirectory() as name, watched() as peak:
        dataset = write_noise(Path(name), num_images)
        mllm_scale = MLLMScale(batch_size=32)
        with serving(MLLMRecipe(model="10"), mllm_scale, open_engine=FIXED_LATENCY) as mllm:
            scale, done, start = StreamScale(max_in_flight=64), 0, time.perf_counter()
            for block in stream(dataset, num_images, attributes, mllm, scale):
                done += block.num_rows
                if done >= options.questions // 10:
                    peaks.setdefault("first", peak())
            rate = done / (time.perf_counter() - start)
        peaks["all"] = peak()
    print(f"{rate:.0f} questions/s: what the stream itself carries")
    print(
        f"peak {peaks['first'] / 1e6:.0f} MB until {options.questions // 10:,} questions, "
        f"{peaks['all'] / 1e6:.0f} MB until {done:,}"
    )
    return {"memory_growth": peaks["all"] / peaks["first"]}


def replicas(options: argparse.Namespace) -> Result:
    """One stream throughout; a training run for each number of replicas, then another number."""
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(1) as thread:
        stop = threading.Event()
        faces = finished(Storage(f"{name}/runs"), DatasetRecipe(num_images=2_000))
        noise = write_noise(make(Path(name) / "noise"), 100 * options.images)
        deploy(1)
        rows = thread.submit(stream_until, stop, noise, 100 * options.images)
        try:
            for number in (1, 3, 1):
                deploy(number)
                laps = train(faces, VaeRecipe(steps=options.steps, seed=len(rates)), TrainScale())
                # The first ones pay for the start.
                rates.append(statistics.median(lap["images_per_second"] for lap in laps[2:]))
                print(f"{number} replicas {rates[-1]:8.1f} images/s of the trainer", flush=True)
        finally:
            stop.set()
        asked = rows.result()
    attempts = np.asarray(asked.column("attempts"))
    print(f"{len(asked)} images answered, {(attempts > 1).sum()} of them asked more than once")
    return {
        "trainer_at_3_replicas": rates[1] / rates[0],
        "trainer_at_1_again": rates[2] / rates[0],
        "asked_again": float((attempts > 1).sum()),
        "not_answered": float(pc.sum(pc.not_equal(asked.column("status"), "ok")).as_py()),
    }


def deploy(num_replicas: int) -> None:
    """The shared application with so many replicas; those that stay keep answering."""
    from ray import serve

    scale = MLLMScale(num_replicas=num_replicas, batch_size=8)
    settings = DeploymentSettings(
        mllm=MLLMRecipe(model="500"), scale=scale, open_engine=FIXED_LATENCY
    )
    serve.start(proxy_location="Disabled")
    serve.run(build(settings), name=SHARED_APP, route_prefix=None)


def stream_until(stop: threading.Event, dataset: Path, num_images: int) -> pa.Table:
    """The rows that came until ``stop`` was set."""
    with serving(MLLMRecipe(model="500"), MLLMScale(), open_engine=FIXED_LATENCY) as mllm:
        blocks = stream(dataset, num_images, ["hat"], mllm, StreamScale(max_in_flight=64))
        return pa.concat_tables(itertools.takewhile(lambda _: not stop.is_set(), blocks))


def make(folder: Path) -> Path:
    """A new folder."""
    folder.mkdir()
    return folder


@contextmanager
def watched() -> Iterator[Callable[[], float]]:
    """The most private bytes of this process and the asking actor at any one time so far."""
    most, stop = [0.0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            most[0] = max(most[0], sum(map(private_bytes, watched_processes())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield lambda: most[0]
    finally:
        stop.set()
        thread.join()


def watched_processes() -> list[psutil.Process]:
    """This process and the actor of Ray Data that asks."""
    actors = [p for p in psutil.process_iter(["cmdline"]) if "Asker" in str(p.info["cmdline"])]
    return [psutil.Process(), *actors]


def private_bytes(process: psutil.Process) -> float:
    """0 for a process that has just ended."""
    try:
        return float(process.memory_full_info().uss)
    except psutil.NoSuchProcess:
        return 0.0


PARTS = {
    "goodput": goodput,
    "scaling": scaling,
    "latency": latency,
    "memory": memory,
    "replicas": replicas,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--images", type=int, default=960, help="of each measurement but memory")
    parser.add_argument("--questions", type=int, default=200_000, help="of the memory's")
    parser.add_argument("--rounds", type=int, default=3, help="of goodput")
    parser.add_argument("--steps", type=int, default=600, help="of the trainer beside replicas")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parents[1]))  # replicas import the engine by its name
    connect(ClusterScale(num_cpus=16))
    result: dict[str, float | str] = {"benchmark": "streaming"}
    for part in options.parts:
        print(f"--- {part}", flush=True)
        result |= {name: round(value, 4) for name, value in PARTS[part](options).items()}
    disconnect()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
