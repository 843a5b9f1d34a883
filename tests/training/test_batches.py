import numpy as np
import pytest
import torch

from gdrl.config import TrainScale, VaeRecipe
from gdrl.training.batches import (
    Part,
    generator_at,
    parts_of,
    positions_at,
    prefetched,
    share,
    to_images,
)
from gdrl.training.job import TrainingJob
from gdrl.training.schedule import capacity_at, learning_rate_at


def test_an_epoch_shows_every_image_once() -> None:
    shown = np.concatenate([positions_at(step, 4, 10, seed=3) for step in range(5)])
    assert sorted(shown[:10]) == sorted(shown[10:]) == list(range(10))
    assert list(shown[:10]) != list(shown[10:])


def test_a_batch_larger_than_the_data_wraps() -> None:
    assert sorted(positions_at(0, 6, 3, seed=0)) == [0, 0, 1, 1, 2, 2]


def test_batches_follow_from_seed_and_step_alone() -> None:
    assert np.array_equal(positions_at(7, 4, 10, seed=1), positions_at(7, 4, 10, seed=1))
    assert not np.array_equal(positions_at(0, 8, 50, seed=1), positions_at(0, 8, 50, seed=2))
    noise = [torch.randn(5, generator=generator_at(7, 1)) for _ in range(2)]
    assert torch.equal(*noise)
    assert not torch.equal(noise[0], torch.randn(5, generator=generator_at(8, 1)))


@pytest.mark.parametrize("accumulation_steps", [1, 3])
def test_the_parts_of_all_ranks_make_the_batch(accumulation_steps: int) -> None:
    scale = TrainScale(accumulation_steps=accumulation_steps)
    jobs = [TrainingJob(VaeRecipe(), scale, {}, rank, 2, lambda *_: None) for rank in range(2)]
    found = [share(part, np.arange(6)) for job in jobs for part in parts_of(job)]
    assert len(found) == 2 * accumulation_steps
    assert sorted(np.concatenate(found)) == list(range(6))


def test_pixels_become_floats_with_channels_first() -> None:
    pixels = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    pixels[0, 2, 3, 1] = 255
    images = to_images(pixels)
    assert images.shape == (1, 3, 64, 64)
    assert images[0, 1, 2, 3] == 1.0
    assert images.sum() == 1.0


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    rates = [learning_rate_at(step, 100, 1.0) for step in range(100)]
    assert rates[4] == max(rates) == 1.0
    assert rates[0] == 0.2
    assert 0 < rates[-1] < 0.001


def test_two_stages_run_through_one_schedule() -> None:
    whole = [learning_rate_at(step, 100, 1.0) for step in range(100)]
    first = [learning_rate_at(step, 40, 1.0, (0.0, 0.4)) for step in range(40)]
    second = [learning_rate_at(step, 60, 1.0, (0.4, 1.0)) for step in range(60)]
    assert first + second == whole


def test_capacity_rises_to_its_target_by_half_time() -> None:
    assert [capacity_at(step, 10, 8.0) for step in (0, 5, 9)] == [0.0, 8.0, 8.0]


def test_parts_come_in_order_and_one_is_made_ahead() -> None:
    made: list[tuple[int, int]] = []
    parts = [Part(0, 2), Part(1, 2)]

    def batch_at(step: int, part: Part) -> tuple[int, int]:
        made.append((step, part.index))
        return made[-1]

    batches = prefetched(batch_at, range(3, 6), parts)
    assert next(batches) == (3, 0)
    batches.close()
    assert made == [(3, 0), (3, 1)], "and no more than one"
    everything = [(step, index) for step in range(3, 6) for index in (0, 1)]
    assert list(prefetched(batch_at, range(3, 6), parts)) == everything


def test_what_fails_in_the_thread_fails_the_step_that_it_was_for() -> None:
    def batch_at(step: int, _: Part) -> int:
        if step == 2:
            raise OSError("no such disk")
        return step

    batches = prefetched(batch_at, range(9), [Part(0, 1)])
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(OSError, match="no such disk"):
        next(batches)
