"""The scores and times of ``disent`` on given arrays; runs in a Python that has it.

    PYTHON benchmarks/disent_scores.py arrays.npz

``arrays.npz``: ``codes``, ``factors`` (integers; the complete grid, in order, for FactorVAE), the
rows ``fit`` and ``held_out`` that MIG, DCI and SAP shall use, and ``metrics``, names out of mig,
dci, sap, factor_vae. Prints one JSON object: metric -> {"scores", "seconds"}, of
CPU time.

Timed is disent's own arithmetic: codes are handed over as arrays and FactorVAE's batches come from
a table, which spares disent its loading of images. lightning and torchvision, which it imports for
other purposes, are stood in for: PyPI's torchvision cannot be imported beside a CPU build of torch.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class _StandIn(types.ModuleType):
    """Any name asked of it is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds a module of empty classes under every name at or below ``packages``."""

    def __init__(self, *packages: str) -> None:
        self._packages = packages

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Of a package that is stood in for; else None."""
        if name.partition(".")[0] not in self._packages:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """An empty one."""
        return _StandIn(spec.name)

    def exec_module(self, _module: types.ModuleType) -> None:
        """There is nothing to run."""


class Table:
    """What FactorVAE asks of a disent dataset, from arrays: rows are the grid of ``sizes``."""

    def __init__(self, codes: Any, factors: Any) -> None:
        self.codes = codes
        self.sizes = factors.max(axis=0) + 1
        self.num_factors = len(self.sizes)
        self.gt_data = self  # which in disent knows the factors
        if not np.array_equal(factors, np.indices(self.sizes).reshape(self.num_factors, -1).T):
            raise SystemExit("FactorVAE needs the complete grid of factors, in order")

    def sample_factors(self, size: int) -> Any:
        """Independent values of all factors."""
        return np.random.randint(self.sizes, size=(size, self.num_factors))  # noqa: NPY002

    def dataset_batch_from_factors(self, factors: Any, mode: str) -> Any:
        """The codes of the images with these factors."""
        del mode
        return self.codes[np.ravel_multi_index(factors.T, self.sizes)]

    def dataset_sample_batch(self, size: int, mode: str) -> Any:
        """The codes of random images."""
        return self.dataset_batch_from_factors(self.sample_factors(size), mode)


def measures(arrays: Any) -> dict[str, Callable[[], dict[str, float]]]:
    """The metrics by name, ready to be called."""
    metrics = importlib.import_module("disent.metrics")
    names = ("_mig", "_dci", "_sap")
    mig, dci, sap = (importlib.import_module(f"disent.metrics.{name}") for name in names)
    codes, factors = arrays["codes"], arrays["factors"]
    fit, held_out = arrays["fit"], arrays["held_out"]
    halves = (codes[fit].T, factors[fit].T, codes[held_out].T, factors[held_out].T)
    return {
        "mig": lambda: mig._compute_mig(codes.T, factors.T),  # noqa: SLF001
        "dci": lambda: dci._compute_dci(*halves),  # noqa: SLF001
        "sap": lambda: sap._compute_sap(*halves, continuous_factors=False),  # noqa: SLF001
        "factor_vae": lambda: metrics.metric_factor_vae(Table(codes, factors), lambda batch: batch),
    }


def main() -> None:
    """Read, measure, print."""
    sys.meta_path.insert(0, StandIns("lightning", "torchvision"))
    with np.load(sys.argv[1]) as arrays:
        functions = measures(arrays)
        wanted = [str(name) for name in arrays["metrics"]]
    results = {}
    for name in wanted:
        np.random.seed(0)  # noqa: NPY002 (the generator that disent draws from)
        start = time.process_time()
        scores = functions[name]()
        seconds = time.process_time() - start
        results[name] = {"scores": {k: float(v) for k, v in scores.items()}, "seconds": seconds}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
