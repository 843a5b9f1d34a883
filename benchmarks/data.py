"""Images a second: drawing each world, folder -> parquet -> batches, decoding; and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/data.py [--parts worlds pipeline decoding memory]

*worlds*: images drawn a second, with the table of ray-cast geometries empty and full. *pipeline*:
a folder of --images JPEGs of 178 x 218 to a data set by Ray Data, as prepare_data does it, with and
without the start of its workers, then every image of it in batches of 128.
*decoding*: --images JPEGs of 512 x 384 by Ray Data with 1 and 2 CPUs once its workers run, and what
two gain at arithmetic at the same moment: a shared machine has less than two cores to give.
*memory*: peak resident memory of the process that writes, each in one of its own, for --images and
four times as many; ``load`` holds all images by design, the others must not; ``folder`` is the
driver alone, its Ray workers decode beside it. Rates need idle cores; memory does not, nor does the
ratio of *decoding* beside that of arithmetic. Prints tables; the last line is one JSON object.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from peak_memory import peak_bytes  # type: ignore[import-not-found]  # beside this script
from PIL import Image

from gdrl.config import ClusterScale, DatasetRecipe, S3Settings
from gdrl.data import faces, shapes3d_shading
from gdrl.data.correlation import sample
from gdrl.data.grid_world import GRID_WORLDS, draw_rows
from gdrl.data.open import open_source
from gdrl.data.prepare import prepare
from gdrl.data.source import Found
from gdrl.data.table import load_images, stream_images
from gdrl.distributed.reading import in_order
from gdrl.distributed.session import connect, disconnect

PARTS = ("worlds", "pipeline", "decoding", "memory")
BATCH = 128
SUMS = ", arithmetic"
Figures = dict[str, float]


def rate(num: int, work: Callable[[], object]) -> float:
    """Items a second."""
    start = time.perf_counter()
    work()
    return num / (time.perf_counter() - start)


def exhaust(items: Iterator[object]) -> None:
    """Take every item and keep none."""
    for _ in items:
        pass


def write_photos(folder: Path, num: int, width: int, height: int) -> None:
    """JPEGs of smooth noise, 32 different ones under ``num`` names."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(num):
        file = folder / f"{number:05d}.jpg"
        if number < 32:
            coarse = rng.integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            image.save(file, quality=90)
        else:
            file.write_bytes((folder / f"{number % 32:05d}.jpg").read_bytes())


def worlds() -> Figures:
    """Drawing alone, no PNG and no disk."""
    factors = faces.sample_factors(200, 0)
    figures = {"faces": rate(200, lambda: exhaust(faces.render_rows(factors, 0)))}
    for name, world in GRID_WORLDS.items():
        rows = sample(world.grid, 5_000, 0)
        if name == "shapes3d_like":
            figures["shapes3d_like, cold"] = rate(5_000, lambda: exhaust(draw_rows(world, rows)))  # noqa: B023
        figures[name] = rate(5_000, lambda: exhaust(draw_rows(world, rows)))  # noqa: B023
    cast = 15 * shapes3d_shading.shading_maps.cache_info().misses
    print_table("images drawn a second", figures)
    print(f"  ({cast} geometries ray-cast)")
    return figures


def pipeline(num: int) -> Figures:
    """Folder -> parquet -> batches, through Ray Data."""
    with tempfile.TemporaryDirectory() as scratch, cluster():
        photos, out = Path(scratch) / "photos", Path(scratch) / "dataset"
        write_photos(photos, num, 178, 218)
        recipe = DatasetRecipe(source=str(photos), num_images=num)
        world = DatasetRecipe(source="shapes3d_like", num_images=num)
        write = partial(prepare, in_order=in_order)
        figures = {
            "folder to parquet, cold": rate(num, lambda: write(recipe, out)),
            "folder to parquet": rate(num, lambda: write(recipe, out)),
            "folder to parquet, no Ray": rate(num, lambda: prepare(recipe, out)),
            "parquet to batches, streamed": rate(num, lambda: exhaust(stream_images(out, BATCH))),
            "parquet to memory": rate(num, lambda: load_images(out)),
            "shapes3d_like to parquet": rate(num, lambda: write(world, Path(scratch) / "world")),
        }
    print_table("images a second", figures)
    return figures


@contextmanager
def cluster(num_cpus: int = 0) -> Iterator[None]:
    """A private cluster; 0 is as many CPUs as a run takes."""
    connect(ClusterScale(num_cpus=num_cpus))
    try:
        yield
    finally:
        disconnect()


def burn(num_loops: int) -> Iterator[Found]:
    """Arithmetic that needs a core and nothing else."""
    total = 0
    for step in range(num_loops):
        total += step * step
    yield Found(str(total))


def decoding(num_images: int) -> Figures:
    """JPEGs by Ray Data with one and two CPUs, beside what two gain at arithmetic."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        write_photos(photos, num_images, 512, 384)
        recipe = DatasetRecipe(source=str(photos), num_images=num_images)
        source = open_source(recipe, S3Settings())
        for num in (1, 2):
            with cluster(num):
                exhaust(in_order(burn, [1_000_000] * 8))  # the workers start
                loops = [10_000_000] * 16
                for kind, read, chunks in (("", source.read, source.chunks), (SUMS, burn, loops)):
                    count = num_images if read is source.read else len(loops)
                    figures[f"{num} CPU(s){kind}"] = rate(
                        count,
                        lambda: exhaust(in_order(read, chunks)),  # noqa: B023
                    )
    for kind in ("", SUMS):
        figures[f"ratio{kind}"] = figures[f"2 CPU(s){kind}"] / figures[f"1 CPU(s){kind}"]
    print_table("images decoded a second", figures)
    return figures


def memory(num_images: int) -> Figures:
    """Peak MB of each step at two sizes, each in its own process."""
    figures: Figures = {}
    small, large = num_images, 4 * num_images
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for num in (small, large):
            write_photos(root / f"photos-{num}", num, 64, 64)
            for step in ("folder", "world", "stream", "load"):
                command = [sys.executable, __file__, "--peak", step, str(num), scratch]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                figures[f"{step}, {num}"] = float(done.stdout)
    figures |= {
        f"{step}, ratio": figures[f"{step}, {large}"] / figures[f"{step}, {small}"]
        for step in ("folder", "world", "stream", "load")
    }
    print_table("peak memory, MB", figures)
    return figures


def peak(step: str, num: int, root: Path) -> float:
    """Do one step and give this process's peak resident memory in MB."""
    out = root / f"dataset-{num}"
    if step == "folder":
        recipe = DatasetRecipe(source=str(root / f"photos-{num}"), num_images=num)
        with cluster():
            prepare(recipe, out, in_order=in_order)
    elif step == "world":
        prepare(DatasetRecipe(source="dsprites_like", num_images=num), root / f"world-{num}")
    elif step == "stream":
        exhaust(stream_images(out, BATCH))
    else:
        load_images(out)
    return float(peak_bytes() / 2**20)


def print_table(title: str, figures: Figures) -> None:
    """One line a figure."""
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:32s} {value:12,.2f}" if value < 10 else f"  {name:32s} {value:12,.0f}")


def main() -> None:
    """Measure the parts asked for, print them, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--images", type=int, default=2_000, help="of each part but worlds")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        step, num, root = arguments.peak
        print(peak(step, int(num), Path(root)))
        return
    measures: dict[str, Callable[[], Figures]] = {
        "worlds": worlds,
        "pipeline": partial(pipeline, arguments.images),
        "decoding": partial(decoding, arguments.images),
        "memory": partial(memory, arguments.images),
    }
    report = {part: measures[part]() for part in arguments.parts}
    print(json.dumps({part: {k: round(v, 3) for k, v in f.items()} for part, f in report.items()}))


if __name__ == "__main__":
    main()
