"""Artifacts to and from S3, against boto3's own transfer manager on the same server.

    python benchmarks/storage.py [--rounds 3] [--size-mb 2000] [--objects 20000]

Each round takes one file of ``--size-mb``, then ``--objects`` files of 4 KB, to the server and
back: as an artifact (hashed, committed by its manifest, checked on the way into an empty cache),
and by boto3 with its defaults (``upload_file`` and ``download_file``; of small files as many at
once as of the parts of a large one). Both clients are made before the clock starts; who begins
alternates. The server is SeaweedFS on loopback: it shares the cores with both. Prints medians; the
last line is one JSON object with boto3's seconds over ours (above 1: ours is faster), and the
seconds of ``gdrl plan`` on a run of 1,000 artifacts.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from gdrl.artifacts import Run, Storage, open_store, s3_client
from gdrl.config import S3Settings
from gdrl.pipeline import STAGE_OF

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.seaweed import CREDENTIALS, serving  # noqa: E402  # the server of the tests
from tests.small_artifact import describe  # noqa: E402

BUCKET = "benchmark"
SMALL_BYTES = 4096
NUM_ARTIFACTS = 1_000
THREADS: int = TransferConfig().max_concurrency
RECIPE = ROOT / "jobs/recipes/demo.toml"

Pair = tuple[float, float]
"""Seconds of an upload, and of the download of the same."""


def ours(s3: S3Settings, folder: Path, scratch: Path) -> Pair:
    """An artifact, from its files in a workspace until it is committed, and opened elsewhere."""
    s3 = s3.model_copy(update={"cache": str(scratch / "cache")})
    s3_client.client(s3)  # made before the clock, as boto3's is
    run = Run(open_store(Storage(f"s3://{BUCKET}/ours", s3)), "demo")
    out = run.begin("vae", "train_vae")
    for file in folder.iterdir():
        os.link(file, out.path / file.name)
    upload = seconds(lambda: run.commit(out, describe(out)))
    download = seconds(lambda: run.open("vae"))
    run.discard("vae", "train_vae")
    return upload, download


def theirs(s3: S3Settings, folder: Path, scratch: Path) -> Pair:
    """The same files by boto3, as its documentation does it."""
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name=s3.region,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=THREADS),
    )
    files = list(folder.iterdir())

    def upload(file: Path) -> None:
        client.upload_file(str(file), BUCKET, f"theirs/{file.name}")

    def download(file: Path) -> None:
        client.download_file(BUCKET, f"theirs/{file.name}", str(scratch / file.name))

    with ThreadPoolExecutor(THREADS) as threads:
        spent = (
            seconds(lambda: list(threads.map(upload, files))),
            seconds(lambda: list(threads.map(download, files))),
        )
        list(
            threads.map(
                lambda f: client.delete_object(Bucket=BUCKET, Key=f"theirs/{f.name}"), files
            )
        )
    return spent


def seconds(work: Callable[[], object]) -> float:
    """Wall time."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_files(folder: Path, num: int, size: int) -> Path:
    """``num`` files of ``size`` bytes that do not compress and all differ."""
    folder.mkdir()
    draw = random.Random(0)
    for number in range(num):
        with (folder / f"{number:05d}.bin").open("wb") as file:
            for start in range(0, size, 2**24):
                file.write(draw.randbytes(min(2**24, size - start)))
    return folder


def compare(s3: S3Settings, folder: Path, scratch: Path, rounds: int) -> dict[str, list[Pair]]:
    """Seconds of both sides, a pair a round."""
    sides: dict[str, list[Pair]] = {"ours": [], "boto3": []}
    for number in range(rounds):
        turn: Sequence[tuple[str, Any]] = [("ours", ours), ("boto3", theirs)]
        for name, side in turn if number % 2 == 0 else reversed(turn):
            target = scratch / name
            target.mkdir()
            sides[name].append(side(s3, folder, target))
            shutil.rmtree(target)
    return sides


def plan_seconds(s3: S3Settings, scratch: Path) -> float:
    """Median wall time of the command on a run of 1,000 artifacts, those of the plan among them."""
    s3 = s3.model_copy(update={"cache": str(scratch / "plan")})
    storage = f"s3://{BUCKET}/plan"
    run = Run(open_store(Storage(storage, s3)), "demo")
    others = {f"other-{number}": "train_vae" for number in range(NUM_ARTIFACTS - len(STAGE_OF))}

    def finish(artifact: str) -> None:
        out = run.begin(artifact, "train_vae")
        (out.path / "one.json").write_text("{}")
        run.commit(out, describe(out))

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(finish, {**STAGE_OF, **others}))
    command = [sys.executable, "-m", "gdrl", "plan", str(RECIPE), f"storage={storage}"]
    command += [f"s3.{key}={value}" for key, value in s3 if value]

    def plan() -> None:
        subprocess.run(command, check=True, capture_output=True)

    return statistics.median(seconds(plan) for _ in range(5))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size-mb", type=int, default=2_000)
    parser.add_argument("--objects", type=int, default=20_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= CREDENTIALS
        with serving(folder) as s3:
            endpoint = {"endpoint_url": s3.endpoint, "region_name": s3.region}
            boto3.client("s3", **endpoint).create_bucket(Bucket=BUCKET)
            large = write_files(folder / "large", 1, options.size_mb * 1_000_000)
            large_sides = compare(s3, large, folder, options.rounds)
            shutil.rmtree(large)
            small = write_files(folder / "small", options.objects, SMALL_BYTES)
            small_sides = compare(s3, small, folder, options.rounds)
            plan = plan_seconds(s3, folder)
    print_table(large_sides, small_sides, plan, options)


def print_table(
    large: dict[str, list[Pair]],
    small: dict[str, list[Pair]],
    plan: float,
    options: argparse.Namespace,
) -> None:
    """Medians of both sides and their ratios; the last line as JSON."""
    ratios = {}
    rows = (
        ("upload", large, 0),
        ("download", large, 1),
        ("small upload", small, 0),
        ("small download", small, 1),
    )
    for name, sides, direction in rows:
        ours_s, boto3_s = (
            statistics.median(p[direction] for p in sides[s]) for s in ("ours", "boto3")
        )
        ratios[name] = boto3_s / ours_s
        print(f"{name:<15} ours {ours_s:7.2f} s   boto3 {boto3_s:7.2f} s   {ratios[name]:.2f} x")
    both_ways = {s: statistics.median(map(sum, sides)) for s, sides in small.items()}
    ratios["small"] = both_ways["boto3"] / both_ways["ours"]
    print(f"gdrl plan       {plan:.2f} s")
    print(
        json.dumps(
            {
                "benchmark": "storage",
                **{name.replace(" ", "_"): round(ratio, 3) for name, ratio in ratios.items()},
                "plan_seconds": round(plan, 2),
                "rounds": options.rounds,
                "size_mb": options.size_mb,
                "objects": options.objects,
            }
        )
    )


if __name__ == "__main__":
    main()
