"""Private folders to prepare things in; a lock tells the living from the dead."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO


class Workspaces:
    """The folders that this process works in.

    Each has a lock file beside it, held by the kernel until the process ends however it ends: so
    whoever comes next may delete what nobody holds.
    """

    def __init__(self) -> None:
        self._locks: dict[Path, IO[str]] = {}

    def open(self, work: Path, name: str) -> Path:
        """A new, empty folder ``work/{name}-…``; those of the same name of dead processes go."""
        work.mkdir(parents=True, exist_ok=True)
        _delete_dead(work, name)
        descriptor, new = tempfile.mkstemp(dir=work, prefix=f"{name}-", suffix=".new")
        lock = os.fdopen(descriptor, "w")
        fcntl.flock(lock, fcntl.LOCK_EX)  # before anybody can see it by its name
        folder = Path(new).with_suffix("")
        Path(new).rename(_lock_of(folder))
        folder.mkdir()
        self._locks[folder] = lock
        return folder

    def close(self, folder: Path) -> None:
        """Delete what is left of a folder, and its lock."""
        if folder.exists():
            shutil.rmtree(folder)
        _lock_of(folder).unlink()
        self._locks.pop(folder).close()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")  # a run's name may hold dots, as suffixes do


def _delete_dead(work: Path, name: str) -> None:
    for lock in work.glob(f"{name}-*.lock"):
        with contextlib.suppress(BlockingIOError), lock.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
