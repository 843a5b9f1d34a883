import math

import numpy as np
import pytest
import torch

from gdrl.config import EncodersRecipe
from gdrl.data.table import load_images
from gdrl.errors import ConfigError
from gdrl.models.storage import load_encoders
from gdrl.training.annotations import Annotations
from gdrl.training.batches import whole_batch_at
from gdrl.training.encoders import signed, train
from tests.training.squares import write_scores

RECIPE = EncodersRecipe(feature_dim=8, temperature=0.2, steps=4, batch_size=16)


@pytest.fixture
def scores(dataset, tmp_path):
    folder = tmp_path / "scores"
    folder.mkdir()
    write_scores(folder, dataset)
    return folder


def test_images_and_their_answers_find_each_other(job, reports, scores, dataset) -> None:
    train(job(RECIPE.model_copy(update={"steps": 60}), scores=scores))
    losses = [metrics["loss"] for _, metrics in reports.rows]
    # Two answers tell four kinds of image apart, so of 16 about four remain to be guessed among.
    assert losses[-1] < math.log(4) + 0.3 < math.log(16)
    encoders = load_encoders(reports.checkpoints[60] / "published")
    test = load_images(dataset, "test")
    images = torch.from_numpy(test.pixels).permute(0, 3, 1, 2).float() / 255
    answers = torch.from_numpy(np.stack([test.factors["red"], test.factors["left"]], axis=1))
    with torch.no_grad():
        features, told = encoders(images, 2 * answers.float() - 1)
    cosines = torch.nn.functional.cosine_similarity(features[:, None], told[None], dim=2)
    same = (answers[:, None] == answers[None]).all(dim=2)
    assert cosines[same].min() > cosines[~same].max()


def test_resuming_gives_the_weights_of_an_uninterrupted_run(resumed, scores) -> None:
    resumed(train, RECIPE, scores=scores)


def test_an_answer_in_the_middle_says_as_much_as_none() -> None:
    scores = torch.tensor([[1.0, 0.0, 0.5, 0.75, 0.0]])
    answered = torch.tensor([[True, True, True, True, False]])
    annotations = Annotations(np.array([0]), scores, answered)
    assert signed(annotations).tolist() == [[1.0, -1.0, 0.0, 0.5, 0.0]]


def test_a_batch_never_holds_an_image_twice() -> None:
    """Eleven images in batches of four: two batches an epoch, and three images sit it out."""
    batches = [whole_batch_at(step, 4, 11, seed=0) for step in range(40)]
    assert all(len(set(batch.tolist())) == 4 for batch in batches)
    epochs = [np.concatenate(batches[at : at + 2]).tolist() for at in range(0, 40, 2)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert set(np.concatenate(epochs).tolist()) == set(range(11)), "others sit out each time"


def test_fewer_images_than_a_batch_are_refused(job, scores) -> None:
    told = r"recipe\.encoders\.batch_size = 128 is more than the 84 images that were scored"
    with pytest.raises(ConfigError, match=told):
        train(job(RECIPE.model_copy(update={"batch_size": 128}), scores=scores))


def test_parts_of_a_batch_are_refused(job, scores) -> None:
    with pytest.raises(ConfigError, match=r"scale\.encoders\.accumulation_steps = 1"):
        train(job(RECIPE, parts=2, scores=scores))
