"""Images a second: drawing each world, folder -> parquet -> batches, decoding; and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/data.py [--parts worlds pipeline decoding memory]

*worlds*: images drawn a second, with the table of ray-cast geometries empty and full. *pipeline*:
a folder of 2,048 JPEGs of 178 x 218 to a data set, then every image of it in batches of 128.
*decoding*: 2,048 JPEGs of 512 x 384 by 1 and 2 processes once they run, and what two gain at
arithmetic at the same moment: a shared machine has less than two cores to give.
*memory*: peak resident memory, each in a process of its own, for 2,000 and 8,000 images; ``load``
holds all images by design, the others must not. Prints tables; the last line is one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from gdrl.config import DatasetRecipe
from gdrl.data import faces, shapes3d_like
from gdrl.data.correlation import sample
from gdrl.data.decoding import read_files
from gdrl.data.folder import list_images
from gdrl.data.grid_world import GRID_WORLDS, draw_rows
from gdrl.data.parallel import in_order
from gdrl.data.prepare import prepare
from gdrl.data.table import load_images, stream_images

PARTS = ("worlds", "pipeline", "decoding", "memory")
BATCH = 128
NUM_FILES = 2_048
MEMORY_SIZES = (2_000, 8_000)
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
    cast = shapes3d_like.shading_maps.cache_info().misses
    print_table("images drawn a second", figures)
    print(f"  ({cast} geometries ray-cast)")
    return figures


def pipeline() -> Figures:
    """Folder -> parquet -> batches, one process."""
    with tempfile.TemporaryDirectory() as scratch:
        photos, out = Path(scratch) / "photos", Path(scratch) / "dataset"
        write_photos(photos, NUM_FILES, 178, 218)
        recipe = DatasetRecipe(source=str(photos), num_images=NUM_FILES)
        figures = {
            "folder to parquet": rate(NUM_FILES, lambda: prepare(recipe, out)),
            "parquet to batches, streamed": rate(
                NUM_FILES, lambda: exhaust(stream_images(out, BATCH))
            ),
            "parquet to memory": rate(NUM_FILES, lambda: load_images(out)),
        }
        world = DatasetRecipe(source="shapes3d_like", num_images=NUM_FILES)
        figures["shapes3d_like to parquet"] = rate(
            NUM_FILES, lambda: prepare(world, Path(scratch) / "world")
        )
    print_table("images a second", figures)
    return figures


def warm_rate(results: Iterator[object], num_skipped: int) -> float:
    """Results a second after the first few, which wait for the processes to start."""
    exhaust(islice(results, num_skipped))
    start, num = time.perf_counter(), 0
    for _ in results:
        num += 1
    return num / (time.perf_counter() - start)


def burn(num_loops: int) -> int:
    """Arithmetic that needs a core and nothing else."""
    total = 0
    for step in range(num_loops):
        total += step * step
    return total


def decoding() -> Figures:
    """JPEGs by one and two processes, beside what two processes gain at arithmetic."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        photos = Path(scratch) / "photos"
        write_photos(photos, NUM_FILES, 512, 384)
        paths = list_images(photos)
        for num in (1, 2):
            images = read_files(photos, paths, image_size=64, min_side=32, num_processes=num)
            figures[f"{num} process(es)"] = warm_rate(images, 512)
            loops = in_order(burn, [200_000] * 80, num)
            figures[f"{num} process(es), arithmetic"] = warm_rate(loops, 16)
    for kind in ("", ", arithmetic"):
        figures[f"ratio{kind}"] = figures[f"2 process(es){kind}"] / figures[f"1 process(es){kind}"]
    print_table("images decoded a second", figures)
    return figures


def memory() -> Figures:
    """Peak MB of each step at two sizes, each in its own process."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for num in MEMORY_SIZES:
            write_photos(root / f"photos-{num}", num, 64, 64)
            for step in ("folder", "world", "stream", "load"):
                command = [sys.executable, __file__, "--peak", step, str(num), scratch]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                figures[f"{step}, {num}"] = float(done.stdout)
    small, large = MEMORY_SIZES
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
        prepare(DatasetRecipe(source=str(root / f"photos-{num}"), num_images=num), out)
    elif step == "world":
        prepare(DatasetRecipe(source="dsprites_like", num_images=num), root / f"world-{num}")
    elif step == "stream":
        exhaust(stream_images(out, BATCH))
    else:
        load_images(out)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_table(title: str, figures: Figures) -> None:
    """One line a figure."""
    print(f"\n{title}")
    for name, value in figures.items():
        print(f"  {name:32s} {value:12,.2f}" if value < 10 else f"  {name:32s} {value:12,.0f}")


def main() -> None:
    """Measure the parts asked for, print them, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        step, num, root = arguments.peak
        print(peak(step, int(num), Path(root)))
        return
    measures = {"worlds": worlds, "pipeline": pipeline, "decoding": decoding, "memory": memory}
    report = {part: measures[part]() for part in arguments.parts}
    print(json.dumps({part: {k: round(v, 3) for k, v in f.items()} for part, f in report.items()}))


if __name__ == "__main__":
    main()
