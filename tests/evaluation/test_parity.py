"""Metrics that ``disent`` has as well, on the same rows. GDRL_DISENT_PYTHON names its Python."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdrl.evaluation import dci, factor_vae_score, mig, sap
from gdrl.evaluation.rows import split_rows

PYTHON = os.environ.get("GDRL_DISENT_PYTHON")

pytestmark = pytest.mark.skipif(not PYTHON, reason="GDRL_DISENT_PYTHON names no Python with disent")


@pytest.fixture(scope="module")
def entangled() -> tuple[np.ndarray, np.ndarray]:
    """A grid of four factors in six latents that are turned half-way and noisy."""
    rng = np.random.default_rng(0)
    factors = np.indices((5, 4, 4, 3)).reshape(4, -1).T
    spread = np.hstack([factors / factors.max(axis=0), np.zeros((len(factors), 2))])
    turn = np.linalg.qr(np.eye(6) + 0.4 * rng.normal(size=(6, 6)))[0]
    return spread @ turn + 0.1 * rng.normal(size=spread.shape), factors


@pytest.fixture(scope="module")
def theirs(
    entangled: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    codes, factors = entangled
    fit, held_out = split_rows(len(codes), seed=0)
    path = tmp_path_factory.mktemp("disent") / "arrays.npz"
    metrics = np.array(["mig", "dci", "sap", "factor_vae"])
    np.savez(path, codes=codes, factors=factors, fit=fit, held_out=held_out, metrics=metrics)
    script = Path(__file__).parents[2] / "benchmarks/disent_scores.py"
    done = subprocess.run(
        [str(PYTHON), str(script), str(path)], check=True, stdout=subprocess.PIPE, text=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: result["scores"] for name, result in answer.items()}


def test_mig_is_equal(entangled: tuple[np.ndarray, np.ndarray], theirs: dict[str, Any]) -> None:
    assert mig(*entangled) == pytest.approx(theirs["mig"]["mig.discrete_score"], abs=1e-9)


def test_sap_is_equal(entangled: tuple[np.ndarray, np.ndarray], theirs: dict[str, Any]) -> None:
    # LinearSVC stops a little before the optimum: a handful of borderline images.
    assert sap(*entangled) == pytest.approx(theirs["sap"]["sap.score"], abs=0.01)


@pytest.mark.parametrize(("predictor", "tolerance"), [("scikit-learn", 0.01), ("binned", 0.03)])
def test_dci_agrees(
    entangled: tuple[np.ndarray, np.ndarray],
    theirs: dict[str, Any],
    predictor: Any,
    tolerance: float,
) -> None:
    ours = dci(*entangled, predictor=predictor)
    scores = theirs["dci"]
    assert ours.disentanglement == pytest.approx(scores["dci.disentanglement"], abs=tolerance)
    assert ours.completeness == pytest.approx(scores["dci.completeness"], abs=tolerance)
    assert ours.informativeness == pytest.approx(
        scores["dci.informativeness_test"], abs=2 * tolerance
    )


def test_factor_vae_agrees_within_sampling(
    entangled: tuple[np.ndarray, np.ndarray], theirs: dict[str, Any]
) -> None:
    # Two evaluations of 5,000 votes: one standard deviation of their difference is 0.01 at most.
    ours = factor_vae_score(*entangled, dead_std=0.0)
    assert ours == pytest.approx(theirs["factor_vae"]["factor_vae.eval_accuracy"], abs=0.03)
