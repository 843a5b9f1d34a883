import os
from pathlib import Path

import pytest

from gdrl.config import ContrastiveRecipe, StudyRow, TrainScale
from gdrl.distributed.fanout import fan_out
from gdrl.errors import ConfigError, TrainingFailed

HERE = "tests.distributed.test_fanout"


def name_of(row: StudyRow, scale: TrainScale) -> str:
    if row.name == "unlucky":
        raise ValueError("out of luck")
    return f"{row.name} {scale.threads_per_worker}"


def die_once(row: StudyRow, _: TrainScale) -> str:
    died = Path(row.paper)
    if not died.exists():
        died.touch()
        os._exit(1)
    return "alive"


def row(name: str, paper: str = "") -> StudyRow:
    latents = ContrastiveRecipe().latents
    return StudyRow(
        name=name, latents=latents, encoder_space="sphere", temperature=1, score="r2", paper=paper
    )


@pytest.mark.usefixtures("cluster")
def test_every_result_comes_with_its_key() -> None:
    rows = {name: row(name) for name in ("one", "two", "three")}
    found = dict(fan_out(f"{HERE}:name_of", rows, TrainScale()))
    assert found == {"one": "one 1", "two": "two 1", "three": "three 1"}


@pytest.mark.usefixtures("cluster")
def test_what_fails_is_told_after_the_others_were_given() -> None:
    found = {}
    with pytest.raises(TrainingFailed, match=r"1 of 2 failed \(bad: .*out of luck"):
        found.update(
            fan_out(f"{HERE}:name_of", {"bad": row("unlucky"), "good": row("good")}, TrainScale())
        )
    results = fan_out(f"{HERE}:name_of", {"bad": row("unlucky"), "good": row("good")}, TrainScale())
    assert next(results) == ("good", "good 1")


@pytest.mark.usefixtures("cluster")
def test_a_lost_worker_is_replaced(tmp_path: Path) -> None:
    rows = {"one": row("one", paper=str(tmp_path / "died"))}
    assert dict(fan_out(f"{HERE}:die_once", rows, TrainScale())) == {"one": "alive"}


@pytest.mark.usefixtures("cluster")
def test_a_task_that_can_never_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="lower threads_per_worker"):
        next(fan_out(f"{HERE}:name_of", {"one": row("one")}, TrainScale(threads_per_worker=99)))
