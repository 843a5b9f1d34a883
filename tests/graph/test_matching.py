"""Names for latents: right, one-to-one, and withheld where there is no evidence."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from scipy.stats import somersd
from sklearn.metrics import roc_auc_score

from gdrl.graph import auroc, match

# Shapes are refused by the annotation where types are checked, by the function itself elsewhere.
REFUSED = (ValueError, TypeCheckError)


@pytest.fixture
def labels() -> np.ndarray:
    """500 images, 4 attributes shown by 10 to 60 % of them."""
    return (np.random.default_rng(0).random((500, 4)) < [0.1, 0.3, 0.5, 0.6]).astype(float)


def names_of(codes: np.ndarray, scores: np.ndarray, threshold: float = 0.6) -> list[int | None]:
    return [latent.attribute for latent in match(codes, scores, threshold).latents]


def test_auroc_equals_scikit_learn_ties_included(labels: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    codes = np.round(rng.normal(size=(500, 3)) + labels[:, :3], 1)
    areas = auroc(codes, labels)
    for i in range(3):
        for k in range(4):
            assert areas[i, k] == pytest.approx(roc_auc_score(labels[:, k], codes[:, i]))


def test_strength_is_somers_d_of_the_latent_given_the_attribute(labels: np.ndarray) -> None:
    codes = np.random.default_rng(2).normal(size=(500, 2)) + labels[:, :2]
    strengths = match(codes, labels, 0.5).strengths
    assert strengths[1, 1] == pytest.approx(somersd(labels[:, 1], codes[:, 1]).statistic)


def test_permuted_and_flipped_codes_get_their_own_names_and_signs(labels: np.ndarray) -> None:
    noise = np.random.default_rng(3).normal(size=labels.shape)
    codes = (labels + 0.1 * noise)[:, [2, 0, 3, 1]] * [1, -1, 1, -1]
    latents = match(codes, labels, 0.6).latents
    assert [latent.index for latent in latents] == [0, 1, 2, 3]
    assert [latent.attribute for latent in latents] == [2, 0, 3, 1]
    assert [latent.sign for latent in latents] == [1, -1, 1, -1]
    assert all(latent.strength > 0.99 for latent in latents)


def test_rare_attributes_match_as_well_as_common_ones(labels: np.ndarray) -> None:
    assert match(labels, labels, 0.6).latents[0].strength == 1.0


def test_more_latents_than_attributes_leaves_latents_unnamed(labels: np.ndarray) -> None:
    idle = np.random.default_rng(4).normal(size=(500, 6))
    assert names_of(np.hstack([idle, labels]), labels) == [None] * 6 + [0, 1, 2, 3]


def test_more_attributes_than_latents_leaves_attributes_out(labels: np.ndarray) -> None:
    matching = match(labels[:, [3]], labels, 0.6)
    assert [latent.attribute for latent in matching.latents] == [3]
    assert matching.latent_of(3) == 0
    assert matching.latent_of(1) is None


def test_a_name_goes_to_the_better_of_two_copies(labels: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    codes = labels[:, [1, 1]] + rng.normal(size=(500, 2)) * [0.5, 0.1]
    assert names_of(codes, labels) == [None, 1]


def test_a_latent_below_the_threshold_tells_its_closest_attribute(labels: np.ndarray) -> None:
    codes = labels[:, [2]] + 2 * np.random.default_rng(6).normal(size=(500, 1))
    (latent,) = match(codes, labels, 0.6).latents
    assert latent.attribute is None
    assert 0.1 < latent.strength < 0.6


def test_no_name_is_given_up_for_pairs_too_weak_to_be_named() -> None:
    # Strengths are about [[0.84, 0.58], [0.55, 0]]: the largest sum lies on the pairs below 0.6.
    rng = np.random.default_rng(7)
    labels = (rng.random((20_000, 2)) < 0.5).astype(float)
    both = labels @ [1.5, 1.1] + 0.5 * rng.normal(size=20_000)
    first_only = 1.07 * labels[:, 0] + rng.normal(size=20_000)
    matching = match(np.column_stack([both, first_only]), labels, 0.6)
    strengths = matching.strengths
    assert strengths[0, 0] > 0.6 > max(strengths[0, 1], strengths[1, 0])
    assert strengths[0, 1] + strengths[1, 0] > strengths[0, 0] + abs(strengths[1, 1])
    assert [latent.attribute for latent in matching.latents] == [0, None]


def test_dead_latents_stay_unnamed(labels: np.ndarray) -> None:
    dead = np.full((500, 1), 0.3)
    assert names_of(np.hstack([dead, labels]), labels, threshold=0.0)[0] is None


@pytest.mark.parametrize("num_shown", [0, 3, 497, 500])
def test_an_attribute_with_too_few_images_on_one_side_matches_nothing(num_shown: int) -> None:
    score = (np.arange(500) < num_shown).astype(float)[:, None]
    matching = match(score + 0.0, score, 0.6)
    assert matching.latents[0].attribute is None
    assert matching.strengths[0, 0] == 0


def test_unanswered_images_are_left_out_of_their_attribute_only(labels: np.ndarray) -> None:
    codes = labels + np.random.default_rng(8).normal(size=labels.shape)
    scores = labels.copy()
    scores[:200, 1] = np.nan
    areas = auroc(codes, scores)
    np.testing.assert_array_equal(areas[:, [0, 2]], auroc(codes, labels)[:, [0, 2]])
    np.testing.assert_array_equal(areas[:, 1], auroc(codes[200:], labels[200:])[:, 1])


def test_scores_are_read_as_shown_above_one_half(labels: np.ndarray) -> None:
    np.testing.assert_array_equal(auroc(labels, 0.2 + 0.5 * labels), auroc(labels, labels))


def test_unpaired_or_broken_codes_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(REFUSED):
        match(labels[:-1], labels, 0.6)
    with pytest.raises(ValueError, match="not finite"):
        match(np.full_like(labels, np.nan), labels, 0.6)
