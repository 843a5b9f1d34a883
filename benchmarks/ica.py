"""FastICA over blocks of memory-mapped rows against scikit-learn's: seconds and memory at one MCC.

    OMP_NUM_THREADS=1 python benchmarks/ica.py                      # 100,000 x 64: seconds
    OMP_NUM_THREADS=2 python benchmarks/ica.py --rows 1000000 --features 512 --precision float64

Independent Laplace sources, mixed by a Gaussian matrix into as many float32 features, written to a
file once (2 GB at 10^6 x 512). Both sides whiten onto all directions and stop at tolerance 1e-4;
each runs in a process of its own, scikit-learn on the file read into memory, since it copies what
is mapped. At 10^6 x 512 it overflows in float32 and ends in its error, after the first row is
printed; ``--precision float64`` gives it the same numbers in twice the memory. ``--solver eigh`` is
its faster whitening for many rows, ``svd`` its default. MCC is of the first 20,000 rows' components
with their sources. Seconds are of the CPU, which a busy machine distorts least; wall seconds stand
beside them. Prints a table; the last line is one JSON object, where ``vs_sklearn`` is
scikit-learn's CPU seconds over ours.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peak_memory import peak_bytes  # type: ignore[import-not-found]  # beside this script

from gdrl.evaluation.recovery import mcc
from gdrl.unmixing import fit_unmixing

SCORED_ROWS = 20_000
BLOCK_ROWS = 20_000
TOLERANCE = 1e-4
MAX_ITERATIONS = 500
Record = dict[str, Any]
Fit = Callable[[Path, int], tuple[Callable[[np.ndarray], np.ndarray], int]]


def draw(rows: int, features: int, folder: Path) -> Path:
    """Mixed sources as a ``.npy`` file, block by block."""
    path = folder / "features.npy"
    mixing = np.random.default_rng(0).standard_normal((features, features)).astype(np.float32)
    shape = (rows, features)
    mapped = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    start = 0
    for sources in source_blocks(rows, features):
        mapped[start : start + len(sources)] = sources @ mixing
        start += len(sources)
    mapped.flush()
    return path


def source_blocks(rows: int, features: int) -> Iterator[np.ndarray]:
    """The sources, the same at each call."""
    for number, start in enumerate(range(0, rows, BLOCK_ROWS)):
        rng = np.random.default_rng([1, number])
        yield rng.laplace(size=(min(BLOCK_ROWS, rows - start), features)).astype(np.float32)


def blocked(path: Path, seed: int) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """This package's, on the file where it lies."""
    features = np.load(path, mmap_mode="r")
    fitted = fit_unmixing(
        features,
        features.shape[1],
        seed=seed,
        tolerance=TOLERANCE,
        max_iterations=MAX_ITERATIONS,
    )
    return fitted.transform, fitted.iterations


def scikit_learn(
    path: Path, seed: int, solver: str, precision: str
) -> tuple[Callable[[np.ndarray], np.ndarray], int]:
    """scikit-learn's, on the file read into memory."""
    from sklearn.decomposition import FastICA

    fitted = FastICA(
        whiten="unit-variance",
        whiten_solver=solver,
        tol=TOLERANCE,
        max_iter=MAX_ITERATIONS,
        random_state=seed,
    ).fit(np.load(path).astype(precision, copy=False))
    return fitted.transform, fitted.n_iter_


def measured(fit: Fit, path: Path) -> Record:
    """Seconds, peak memory and MCC of one side, in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    transform, iterations = fit(path, 0)
    seconds = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = peak_bytes() / 2**30
    features = np.load(path, mmap_mode="r")
    scored = features[:SCORED_ROWS]
    sources = next(source_blocks(*features.shape))[: len(scored)]
    return {
        "cpu_seconds": round(seconds["cpu"], 2),
        "wall_seconds": round(seconds["wall"], 2),
        "iterations": iterations,
        "peak_gib": round(peak, 2),
        "mcc": round(mcc(transform(scored), sources), 5),
    }


def in_a_process_of_its_own(work: Callable[[], Record]) -> Record:
    """Spawned: peak memory is a process's own, and a fork would inherit this one's."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work)


def main() -> None:
    """Draw, fit both, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--solver", choices=["eigh", "svd"], default="eigh")
    precisions = "float32", "float64"
    parser.add_argument("--precision", choices=precisions, default="float32", help="scikit-learn's")
    parser.add_argument("--folder", type=Path, help="where the features lie meanwhile (/tmp)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gdrl-ica-", dir=options.folder) as name:
        path = draw(options.rows, options.features, Path(name))
        fits: dict[str, Fit] = {
            "blocked": blocked,
            "scikit-learn": partial(
                scikit_learn, solver=options.solver, precision=options.precision
            ),
        }
        sides: dict[str, Record] = {}
        for side, fit in fits.items():
            sides[side] = record = in_a_process_of_its_own(partial(measured, fit, path))
            if len(sides) == 1:
                print(f"| FastICA | {' | '.join(record)} |\n|{'---|' * (len(record) + 1)}")
            print(f"| {side} | {' | '.join(map(str, record.values()))} |", flush=True)
    ratio = sides["scikit-learn"]["cpu_seconds"] / sides["blocked"]["cpu_seconds"]
    settings = {
        name: getattr(options, name) for name in ("rows", "features", "solver", "precision")
    }
    print(
        json.dumps({"benchmark": "ica", **settings, "vs_sklearn": round(ratio, 2), "sides": sides})
    )


if __name__ == "__main__":
    main()
