"""Unmixing at known extremes, against scikit-learn, and against what cannot be unmixed."""

import numpy as np
import pytest
from sklearn.decomposition import FastICA

from gdrl.errors import DataError, TrainingFailed
from gdrl.evaluation.recovery import mcc, r2
from gdrl.unmixing import fit_unmixing, stability
from gdrl.unmixing.fast_ica import strides
from gdrl.unmixing.whitening import moments

DIM, NUM = 6, 12_000
SOURCES = {
    "laplace": lambda rng: rng.laplace(size=(NUM, DIM)),
    "uniform": lambda rng: rng.random((NUM, DIM)),
    "gaussian": lambda rng: rng.standard_normal((NUM, DIM)),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def mixed(rng) -> tuple[np.ndarray, np.ndarray]:
    """Independent Laplace sources, and 9 features that hold them and nothing else."""
    sources = SOURCES["laplace"](rng)
    return sources, sources @ rng.standard_normal((DIM, 9)) + 5.0


@pytest.mark.parametrize("law", ["laplace", "uniform"])
def test_independent_sources_are_found_again(law: str, rng) -> None:
    sources = SOURCES[law](rng)
    features = sources @ rng.standard_normal((DIM, DIM))
    assert mcc(fit_unmixing(features, DIM).transform(features), sources) > 0.99


def test_gaussian_sources_are_not(rng) -> None:
    sources = SOURCES["gaussian"](rng)
    features = sources @ rng.standard_normal((DIM, DIM))
    try:
        components = fit_unmixing(features, DIM).transform(features)
    except TrainingFailed:
        return  # the other honest answer
    assert mcc(components, sources) < 0.9


def test_only_ica_separates_and_all_keep_the_linear_content(mixed) -> None:
    sources, features = mixed
    scores = {}
    for method in ("ica", "pca", "varimax", "random_rotation"):
        components = fit_unmixing(features, DIM, method).transform(features)
        np.testing.assert_allclose(np.cov(components.T, bias=True), np.eye(DIM), atol=1e-8)
        assert r2(components, sources) == pytest.approx(1)
        scores[method] = mcc(components, sources)
    assert scores.pop("ica") > 0.99
    assert max(scores.values()) < 0.9


def test_components_and_score_are_those_of_scikit_learn(mixed) -> None:
    sources, features = mixed
    ours = fit_unmixing(features, DIM).transform(features)
    theirs = FastICA(DIM, whiten="unit-variance", random_state=0).fit_transform(features)
    assert mcc(ours, theirs) > 0.9999
    assert mcc(ours, sources) == pytest.approx(mcc(theirs, sources), abs=1e-3)


def test_a_pca_before_fast_ica_changes_nothing(rng) -> None:
    features = SOURCES["laplace"](rng) @ np.diag([6.0, 5, 4, 3, 2, 1])
    principal = fit_unmixing(features, 5, "pca")
    scores = principal.transform(features) / np.linalg.norm(principal.whitening.matrix, axis=0)
    direct = fit_unmixing(features, 3).transform(features)
    assert mcc(fit_unmixing(scores, 3).transform(scores), direct) > 0.9999


def test_varimax_finds_simple_loadings(rng) -> None:
    simple = np.kron(np.eye(3), np.ones((4, 1))) * [1.0, 1.1, 1.2]
    sources = rng.standard_normal((NUM, 3))
    features = sources @ simple.T
    components = fit_unmixing(features, 3, "varimax").transform(features)
    assert mcc(components, sources) > 0.99


def test_components_go_back_to_features(mixed) -> None:
    _, features = mixed
    unmixing = fit_unmixing(features, DIM)
    np.testing.assert_allclose(unmixing.inverse(unmixing.transform(features)), features, atol=1e-8)
    assert unmixing.whitening.explained == pytest.approx(1)


def test_float32_features_give_the_same_components(mixed) -> None:
    _, features = mixed
    exact = fit_unmixing(features, DIM).transform(features)
    single = fit_unmixing(features.astype(np.float32), DIM).transform(features)
    assert mcc(single, exact) > 0.9999


def test_moments_are_exact_far_from_zero(rng) -> None:
    features = rng.standard_normal((20_000, 3)).astype(np.float32) + 1_000
    mean, covariance = moments(features)
    np.testing.assert_allclose(mean, features.mean(axis=0, dtype=np.float64), atol=1e-6)
    expected = np.cov(features.astype(np.float64).T, bias=True)
    np.testing.assert_allclose(covariance, expected, atol=1e-5)


def test_levels_of_rows_end_with_all() -> None:
    assert strides(1_000, 6) == [1]
    assert strides(12_000, 6) == [8, 1]
    assert strides(1_000_000, 512) == [8, 1]
    assert strides(10_000_000, 20) == [4096, 512, 64, 8, 1]


def test_a_rotation_that_the_data_decides_is_stable_across_seeds(mixed) -> None:
    _, features = mixed
    assert stability([fit_unmixing(features, DIM, seed=seed) for seed in range(3)]).min() > 0.99
    controls = [fit_unmixing(features, DIM, "random_rotation", seed=seed) for seed in range(3)]
    assert stability(controls).max() < 0.95


def test_of_two_gaussian_sources_neither_is_found_and_the_others_are(rng) -> None:
    sources = np.hstack([rng.laplace(size=(NUM, 3)), rng.standard_normal((NUM, 2))])
    features = sources @ rng.standard_normal((5, 5))
    fits = [
        fit_unmixing(features, 5, seed=s, max_iterations=5_000, tolerance=1e-3) for s in range(2)
    ]
    found = np.abs(np.corrcoef(fits[0].transform(features).T, sources.T)[:5, 5:])
    of_laplace = found[:, :3].max(axis=1) > 0.95
    assert of_laplace.sum() == 3
    assert stability(fits)[of_laplace].min() > 0.99
    # Other seeds meet at these, too: chance in the rows decides the rotation of a round cloud.
    assert found[:, 3:].max() < 0.95


def test_what_does_not_converge_names_the_remedy(mixed) -> None:
    with pytest.raises(TrainingFailed, match=r"FastICA\(6\) still moved .* raise max_iterations"):
        fit_unmixing(mixed[1], DIM, max_iterations=1, tolerance=1e-12)
    with pytest.raises(TrainingFailed, match="varimax of 6 components"):
        fit_unmixing(mixed[1], DIM, "varimax", max_iterations=1, tolerance=1e-12)


def test_more_components_than_directions_are_refused(mixed) -> None:
    with pytest.raises(DataError, match="only 6 directions of the 9 features vary"):
        fit_unmixing(mixed[1], 7)


def test_features_that_are_not_finite_are_refused(mixed) -> None:
    features = mixed[1].copy()
    features[3, 2] = np.nan
    with pytest.raises(DataError, match="not finite"):
        fit_unmixing(features, 2)
