"""Every representation metric at the extremes, side by side: what each of them sees."""

import numpy as np
import pytest

from gdrl.evaluation import beta_vae_score, evaluate, factor_vae_score, infomec

EXTREMES = ("identity", "permuted", "duplicated", "with_dead", "rotated", "constant", "unrelated")
TOLERANCE = 0.05
# On four 4-valued factors. None: the estimate is noise there, as the metric's docstring says.
EXPECTED = {
    "beta_vae": (1, 1, 1, 1, 1 / 4, 1 / 4, 1 / 4),
    "factor_vae": (1, 1, 1, 1, 1 / 4, 0, 1 / 4),
    "mig": (1, 1, 0, 1, 0, 0, 0),
    "dci_disentanglement": (1, 1, 1, 1, 0, 0, 0),
    "dci_completeness": (1, 1, None, 1, 0, 0, 0),
    "dci_informativeness": (1, 1, 1, 1, None, 1 / 4, 1 / 4),
    # A latent by itself tells both ends of four ordered values and some of the middle.
    "sap": (0.71, 0.71, 0, 0.71, 0, 0, 0),
    "modularity": (1, 1, 1, 4 / 6, 0, 0, None),
    "explicitness": (5 / 6, 5 / 6, 5 / 6, 5 / 6, 5 / 6, 1 / 2, 1 / 2),
    "infom": (1, 1, 1, 1, 0, 0, None),
    "infoe": (1, 1, 1, 1, 1, 0, 0),
    "infoc": (1, 1, 3 / 7, 1, 0, 0, None),
    "r2": (1, 1, 1, 1, 1, 0, 0),
    "mcc": (1, 1, 1, 1, 1 / 2, 0, 0),
    "pair_entanglement": (0, 0, 0, 0, 1 / 4, 0, None),
    "other_pairs_entanglement": (0, 0, 0, 0, 1 / 4, 0, None),
}
# On the same factors, cut in two: 1/2 for each attribute that one latent alone tells.
EXPECTED_OF_ATTRIBUTES = {
    "tad": (2, 2, 0, 2, 0, 0, 0),
    "tad_captured": (4, 4, 4, 4, 4, 0, 0),
}


@pytest.mark.parametrize("extreme", EXTREMES)
def test_every_score_is_where_it_belongs(
    extreme: str, grid: np.ndarray, request: pytest.FixtureRequest
) -> None:
    codes: np.ndarray = request.getfixturevalue(extreme)
    column = EXTREMES.index(extreme)
    scores = evaluate(codes, grid, names=list("abcd"), pair=("a", "b"), fast=True).scores
    assert scores.keys() == EXPECTED.keys()
    expected = {name: row[column] for name, row in EXPECTED.items() if row[column] is not None}
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize("extreme", EXTREMES)
def test_so_is_tad(extreme: str, grid: np.ndarray, request: pytest.FixtureRequest) -> None:
    scores = evaluate(request.getfixturevalue(extreme), grid // 2, fast=True).scores
    expected = {name: row[EXTREMES.index(extreme)] for name, row in EXPECTED_OF_ATTRIBUTES.items()}
    assert {name: scores[name] for name in expected} == pytest.approx(expected, abs=TOLERANCE)


def test_beta_vae_and_factor_vae_worked_values(grid: np.ndarray) -> None:
    """Two of four factors are there. The other two look alike to BetaVAE: half of them is right.

    To FactorVAE they still a latent at random; each latent has its own factor more often.
    """
    codes = grid[:, :2].astype(float)
    assert beta_vae_score(codes, grid) == pytest.approx(3 / 4, abs=0.03)
    assert factor_vae_score(codes, grid) == pytest.approx(1 / 2, abs=0.03)


def test_infomec_worked_value() -> None:
    # Latent 0 tells both of two bits, latent 1 the first: shares (1/2, 1) either way round.
    bits = np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (10, 1))
    codes = np.column_stack([2 * bits[:, 0] + bits[:, 1], bits[:, 0]]).astype(float)
    scores = infomec(codes, bits, discrete_codes=True)
    assert (scores.infom, scores.infoc) == pytest.approx((1 / 2, 1 / 2))


def test_classes_of_one_image_tell_nothing() -> None:
    codes, factors = np.arange(4.0)[:, None], np.array([[0, 1], [1, 2], [2, 3], [3, 0]]) * 1.5
    assert infomec(np.hstack([codes, codes]), factors).infom == 0
