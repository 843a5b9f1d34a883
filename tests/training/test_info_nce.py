"""The loss by hand, and two workers against one."""

import math
from pathlib import Path

import pytest
import torch

from gdrl.training.info_nce import cosine_distance, l1_distance, symmetric_info_nce
from tests.training.processes import run_ranks

WORKER = Path(__file__).parent / "gathering_worker.py"


def test_two_pairs_by_hand() -> None:
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Cosines 1 and 0: each row finds its partner with probability e^2 / (e^2 + 1).
    expected = math.log(1 + math.exp(-2))
    loss = symmetric_info_nce(first, first, cosine_distance, temperature=0.5)
    assert loss.item() == pytest.approx(expected)


def test_both_directions_count() -> None:
    first, second = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [3.0]])
    # Distances |0-0| |0-3| / |1-0| |1-3|: rows give log(1 + e^-3), log(1 + e); columns the others.
    rows = math.log(1 + math.exp(-3)) + math.log(1 + math.exp(1))
    columns = math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-1))
    loss = symmetric_info_nce(first, second, l1_distance, temperature=1.0)
    assert loss.item() == pytest.approx((rows + columns) / 4)


@pytest.mark.parametrize("distance", [cosine_distance, l1_distance])
def test_constant_codes_reach_chance(distance) -> None:
    codes = torch.ones(8, 3)
    assert symmetric_info_nce(codes, codes, distance, 0.1).item() == pytest.approx(math.log(8))


@pytest.mark.parametrize("distance", [cosine_distance, l1_distance])
def test_half_precision_ends_where_codes_are_compared(distance) -> None:
    codes = torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(0))
    first, second = torch.nn.functional.normalize(codes, dim=2).bfloat16()
    exact = symmetric_info_nce(first.float(), second.float(), distance, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(symmetric_info_nce(first, second, distance, 0.1), exact)


@pytest.mark.parametrize("distance", ["cosine", "l1"])
def test_two_workers_have_the_loss_and_gradients_of_one(distance: str, tmp_path: Path) -> None:
    (alone,) = run_ranks(WORKER, 1, tmp_path, distance)
    together = run_ranks(WORKER, 2, tmp_path, distance)
    losses = [rank["loss"] for rank in together]
    assert sum(losses) / 2 == pytest.approx(alone["loss"], rel=1e-6)
    mean = [sum(parts) / 2 for parts in zip(*(rank["gradient"] for rank in together), strict=True)]
    assert mean == pytest.approx(alone["gradient"], rel=1e-4, abs=1e-6)
    # Each alone has another gradient: it is the gathering that makes them meet.
    assert together[0]["gradient"] != pytest.approx(alone["gradient"], rel=1e-2)
