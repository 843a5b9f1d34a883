"""Where artifacts lie. Keys are slash-separated paths below the storage's root.

The protocol asks for what both a folder and an object store can promise: whole objects, one
conditional create, and nothing replaced in place. ``publish`` is the only commit.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from gdrl.artifacts.manifest import MANIFEST, FileEntry, verify
from gdrl.artifacts.storage import Storage
from gdrl.errors import ConfigError


class Store(Protocol):
    """A storage's root. Every method takes keys; folders in the signatures are local."""

    def read(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is none."""

    def create(self, key: str, content: bytes) -> None:
        """Write a new object whole; FileExistsError where there is one already."""

    def append(self, key: str, text: str) -> None:
        """Add text to the end of a log."""

    def names(self, key: str) -> list[str]:
        """What lies directly below ``key``, sorted; empty where nothing does."""

    def workspace(self, key: str) -> Path:
        """A new, empty local folder to prepare ``key`` in; leftovers of dead processes go."""

    def publish(self, folder: Path, key: str) -> None:
        """Make the files of a workspace appear under ``key``, its ``manifest.json`` last.

        FileExistsError where ``key`` has a manifest already; nothing of it is touched then.
        """

    def fetch(self, key: str, files: Sequence[FileEntry]) -> Path:
        """A local folder that holds these files of ``key``, each as its entry says.

        ArtifactCorrupt, naming the first file that differs from its entry.
        """

    def discard(self, key: str) -> None:
        """Delete all below ``key``, its manifest first."""

    def location(self, key: str) -> Storage:
        """The address of ``key``, for people and for Ray Train's own checkpoints."""


def open_store(storage: Storage) -> Store:
    """The store behind a folder or URI. The one place where another kind of storage plugs in."""
    scheme, separator, _ = storage.uri.partition("://")
    if separator:
        raise ConfigError(f"storage = {storage.uri!r}: {scheme}:// is not built yet; name a folder")
    return LocalStore(Path(storage.uri).absolute())


class LocalStore:
    """A folder, on this machine or shared.

    A workspace lies in the same file system as what it becomes, so ``publish`` is one rename:
    atomic, and refused by the kernel where the target is not empty. Of two committers one wins.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[Path, IO[str]] = {}

    def read(self, key: str) -> bytes | None:
        """The file's bytes, or None where there is none."""
        try:
            return (self.root / key).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def create(self, key: str, content: bytes) -> None:
        """Write beside the target, then link: the name appears with the whole content or not."""
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            os.link(file.name, path)

    def append(self, key: str, text: str) -> None:
        """Add text to the end of a file."""
        with (self.root / key).open("a", encoding="utf-8") as file:
            file.write(text)

    def names(self, key: str) -> list[str]:
        """Entries of a folder, hidden ones left out."""
        folder = self.root / key
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))

    def workspace(self, key: str) -> Path:
        """``{run}/.work/{artifact}-…``; a lock file beside it tells the living from the dead."""
        target = self.root / key
        if target.exists() and not (target / MANIFEST).exists():
            self.discard(key)
        work = self._work(key)
        _delete_dead(work, target.name)
        descriptor, new = tempfile.mkstemp(dir=work, prefix=f"{target.name}-", suffix=".new")
        lock = os.fdopen(descriptor, "w")
        fcntl.flock(lock, fcntl.LOCK_EX)  # before anybody can see it by its name
        folder = Path(new).with_suffix("")
        Path(new).rename(folder.with_suffix(".lock"))
        folder.mkdir()
        self._locks[folder] = lock
        return folder

    def publish(self, folder: Path, key: str) -> None:
        """Rename the workspace, its manifest already inside."""
        target = self.root / key
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise FileExistsError(str(target)) from error
            raise
        folder.with_suffix(".lock").unlink()
        self._locks.pop(folder).close()

    def fetch(self, key: str, files: Sequence[FileEntry]) -> Path:
        """The folder itself: its files are local already, and checked now."""
        for entry in files:
            verify(self.root / key / entry.path, entry)
        return self.root / key

    def discard(self, key: str) -> None:
        """Move away in one step, then delete: no reader meets half an artifact."""
        target = self.root / key
        if target.exists():
            trash = Path(tempfile.mkdtemp(dir=self._work(key), prefix="trash-"))
            target.rename(trash / target.name)
            shutil.rmtree(trash)

    def location(self, key: str) -> Storage:
        """The absolute path."""
        return Storage(str(self.root / key))

    def _work(self, key: str) -> Path:
        work = self.root / key.partition("/")[0] / ".work"
        work.mkdir(parents=True, exist_ok=True)
        return work


def _delete_dead(work: Path, artifact: str) -> None:
    """Delete the workspaces whose process no longer holds its lock."""
    for lock in work.glob(f"{artifact}-*.lock"):
        with contextlib.suppress(BlockingIOError), lock.open("a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)
