"""A cloud's notice: run by test_training.py, in a process that no other test has touched."""

from pathlib import Path

from gdrl.artifacts import Storage
from gdrl.training.checkpoint import read_state
from tests.faults.test_training import (
    PINNED,
    Drive,
    Trainers,
    drive,
    drive_there,
    kept,
    notes,
    steps_run,
    storage,
    trainers,
    wait_until,
)
from tests.faults.training_functions import has_checkpoint

__all__ = ["drive", "drive_there", "notes", "storage", "trainers"]


def test_a_machine_that_is_about_to_go_costs_the_steps_since_its_notice(
    trainers: Trainers,
    drive_there: Drive,
    storage: Storage,
    notes: Path,
) -> None:
    """The notice is worth a checkpoint, and the loss that follows is no failure of the run's."""
    (notes / "slow").touch()
    scale = PINNED.model_copy(update={"checkpoint_every_steps": 1_000, "max_failures": 0})
    driver = drive_there(scale, steps=80)
    wait_until(driver, (notes / "steps").exists)
    trainers.warn()
    wait_until(driver, lambda: has_checkpoint(Path(storage.uri)))
    noticed = read_state(kept(storage)[0]).step
    trainers.add()
    # Rank 0 begins that step only after all have ended the last: none still looks for ``slow``.
    wait_until(driver, lambda: steps_run(notes).count(noticed + 1) == 2)
    (notes / "slow").unlink()
    assert driver.wait() == 0
    ran = steps_run(notes)
    again = ran.index(noticed, ran.index(noticed) + 1)
    assert 0 < noticed < 80
    assert ran[:again] == list(range(again))
    assert ran[again:] == list(range(noticed, 80))
