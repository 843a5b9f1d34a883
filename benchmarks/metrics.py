"""How long the representation metrics take on 10,000 images, 10 latents, 6 factors; beside disent.

    OMP_NUM_THREADS=1 python benchmarks/metrics.py [--disent-python PATH] [--rounds 1]

Both get the same codes, the same rows to fit on and to hold out, and the literature's settings: MIG
of 20 bins; DCI by 100 rounds of boosted trees; SAP by linear SVMs; FactorVAE by 10,000 + 5,000
votes of 64, all latents kept. Predictors: disent's trees are scikit-learn's
``GradientBoostingClassifier``; these are the same algorithm with splits between 256 quantile bins
(``gdrl.evaluation.boosting``), so the scores are printed side by side. disent runs in the Python
that ``--disent-python`` names (one with ``pip install disent``). Seconds are CPU seconds, which a
busy machine distorts least. Prints tables; the last line is one JSON object: its ``vs_disent`` is
disent's seconds over these, summed over the metrics of both.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gdrl import evaluation as measure
from gdrl.evaluation.rows import split_rows

SIZES = (5, 5, 5, 5, 4, 4)  # the complete grid: 10,000
SHARED = ("mig", "dci", "sap", "factor_vae")
Scores = dict[str, float]


def make_codes(seed: int) -> tuple[Any, Any]:
    """The grid, and codes in between: each factor in one latent, four in two, then mixed a bit."""
    rng = np.random.default_rng(seed)
    factors = np.indices(SIZES).reshape(len(SIZES), -1).T
    standard = (factors - factors.mean(axis=0)) / factors.std(axis=0)
    clean = np.hstack([standard, standard[:, :4]]) + 0.3 * rng.normal(size=(len(factors), 10))
    return clean @ (np.eye(10) + 0.15 * rng.normal(size=(10, 10))), factors


def shared_metrics(codes: Any, factors: Any, fast: bool) -> dict[str, Callable[[], Scores]]:
    """Those that disent has as well, under its names of scores."""

    def trees() -> Scores:
        scores = measure.dci(codes, factors, fast=fast)
        return {
            "dci.disentanglement": scores.disentanglement,
            "dci.completeness": scores.completeness,
            "dci.informativeness_test": scores.informativeness,
        }

    def votes() -> Scores:
        score = measure.factor_vae_score(codes, factors, fast=fast, dead_std=0.0)
        return {"factor_vae.eval_accuracy": score}

    return {
        "mig": lambda: {"mig.discrete_score": measure.mig(codes, factors)},
        "dci": trees,
        "sap": lambda: {"sap.score": measure.sap(codes, factors)},
        "factor_vae": votes,
    }


def own_metrics(codes: Any, factors: Any, fast: bool) -> dict[str, Callable[[], Scores]]:
    """The rest of the suite."""

    def information() -> Scores:
        scores = measure.infomec(codes, factors, fast=fast)
        return {"infom": scores.infom, "infoe": scores.infoe, "infoc": scores.infoc}

    return {
        "beta_vae": lambda: {"beta_vae": measure.beta_vae_score(codes, factors, fast=fast)},
        "modularity": lambda: {"modularity": measure.modularity(codes, factors)},
        "explicitness": lambda: {"explicitness": measure.explicitness(codes, factors, fast=fast)},
        "infomec": information,
        "r2": lambda: {"r2": measure.r2(codes, factors)},
        "mcc": lambda: {"mcc": measure.mcc(codes, factors)},
    }


def timed(function: Callable[[], Scores], rounds: int) -> tuple[Scores, float]:
    """The scores, and the median CPU seconds."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        scores = function()
        seconds.append(time.process_time() - start)
    return scores, statistics.median(seconds)


def ask_disent(python: str, codes: Any, factors: Any) -> dict[str, dict[str, Any]]:
    """Scores and seconds of disent, from a process of its own."""
    fit, held_out = split_rows(len(codes), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(
            path, codes=codes, factors=factors, fit=fit, held_out=held_out, metrics=np.array(SHARED)
        )
        script = Path(__file__).with_name("disent_scores.py")
        done = subprocess.run(
            [python, str(script), str(path)], check=True, stdout=subprocess.PIPE, text=True
        )
    result: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--disent-python", help="a Python that has disent")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--fast", action="store_true", help="time the fast settings, too")
    options = parser.parse_args()
    codes, factors = make_codes(seed=0)
    functions = shared_metrics(codes, factors, False) | own_metrics(codes, factors, False)
    ours = {name: timed(function, options.rounds) for name, function in functions.items()}
    for name, (scores, seconds) in ours.items():
        print(f"{name:<14}{seconds:9.3f} s   {_written(scores)}")
    summary: dict[str, Any] = {
        "benchmark": "metrics",
        "images": len(codes),
        "latents": codes.shape[1],
        "factors": factors.shape[1],
        "suite_seconds": round(sum(seconds for _, seconds in ours.values()), 3),
        "seconds": {name: round(seconds, 4) for name, (_, seconds) in ours.items()},
        "vs_disent": None,
    }
    if options.fast:
        functions = shared_metrics(codes, factors, True) | own_metrics(codes, factors, True)
        fast = {name: timed(function, options.rounds) for name, function in functions.items()}
        print("\nfast settings")
        for name, (scores, seconds) in fast.items():
            print(f"{name:<14}{seconds:9.3f} s   {_written(scores)}")
        summary["fast_suite_seconds"] = round(sum(seconds for _, seconds in fast.values()), 3)
    if options.disent_python:
        summary |= compare(ours, ask_disent(options.disent_python, codes, factors))
    print(json.dumps(summary))


def compare(
    ours: dict[str, tuple[Scores, float]], theirs: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Print the table of both; the ratios."""
    print(f"\n{'':<14}{'disent':>11}{'here':>11}{'ratio':>8}   scores: disent, here")
    ratios = {}
    for name in SHARED:
        scores, seconds = ours[name]
        ratios[name] = theirs[name]["seconds"] / seconds
        pairs = [f"{theirs[name]['scores'][key]:.4f}, {scores[key]:.4f}" for key in scores]
        times = f"{theirs[name]['seconds']:9.3f} s{seconds:9.3f} s"
        print(f"{name:<14}{times}{ratios[name]:8.1f}   {'; '.join(pairs)}")
    total = sum(theirs[name]["seconds"] for name in SHARED)
    return {
        "vs_disent": round(total / sum(ours[name][1] for name in SHARED), 2),
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "disent_seconds": round(total, 2),
    }


def _written(scores: Scores) -> str:
    return ", ".join(f"{name} {score:.4f}" for name, score in scores.items())


if __name__ == "__main__":
    main()
