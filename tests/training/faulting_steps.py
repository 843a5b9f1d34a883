"""Prints the page faults of thirty steps of a plain torch loop, then of thirty in an engine."""

import json
from collections.abc import Callable
from resource import RUSAGE_SELF, getrusage

import torch
from torch import nn

from gdrl.config import TrainScale, VaeRecipe
from gdrl.training.engine import Engine
from gdrl.training.job import TrainingJob


class Blocks(nn.Module):
    """A few activations of 4 MB: above the size at which glibc asks the system for memory."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(64, 64) for _ in range(8)])

    def forward(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": self.layers(rows).square().mean()}


def faults(step: Callable[[], object]) -> int:
    """Of thirty steps, after twenty that take what memory they need."""
    for _ in range(20):
        step()
    before = getrusage(RUSAGE_SELF).ru_minflt
    for _ in range(30):
        step()
    return getrusage(RUSAGE_SELF).ru_minflt - before


def main() -> None:
    torch.set_num_threads(1)
    rows = torch.rand(16_384, 64)
    plain = Blocks()
    adam = torch.optim.Adam(plain.parameters())

    def plain_step() -> None:
        loss = plain(rows)["loss"]
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()

    found = [faults(plain_step)]
    recipe = VaeRecipe(batch_size=16_384, precision="fp32")
    job = TrainingJob(
        recipe=recipe, scale=TrainScale(), inputs={}, rank=0, world_size=1, report=lambda *_: None
    )
    engine = Engine(Blocks(), job)
    found.append(faults(lambda: engine.step([rows], 0.001)))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
