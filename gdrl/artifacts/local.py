"""A store in a folder, on this machine or shared."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from gdrl.artifacts.manifest import MANIFEST, FileEntry, Manifest
from gdrl.artifacts.storage import Storage
from gdrl.artifacts.store import StoredObject, on_disk
from gdrl.artifacts.verification import verify
from gdrl.artifacts.workspaces import Workspaces
from gdrl.errors import ConfigError


class LocalStore:
    """A folder that holds runs.

    A workspace lies in the same file system as what it becomes, so ``publish`` is one rename:
    atomic, and refused by the kernel where the target is not empty. Of two committers one wins.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._workspaces = Workspaces()

    def read(self, key: str) -> bytes | None:
        """The file's bytes, or None where there is none."""
        with self._on_disk():
            try:
                return (self.root / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def create(self, key: str, content: bytes) -> None:
        """Write beside the target, then link: the name appears with the whole content or not."""
        path = self.root / key
        with self._on_disk():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
                os.link(file.name, path)

    def append(self, key: str, text: str) -> None:
        """Add text to the end of a file."""
        path = self.root / key
        with self._on_disk():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)

    def names(self, key: str) -> list[str]:
        """Entries of a folder, hidden ones left out."""
        folder = self.root / key
        with self._on_disk():
            if not folder.is_dir():
                return []
            return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))

    def objects(self, key: str) -> Iterator[StoredObject]:
        """Files, hidden ones too, in order of key."""
        for path in sorted(path for path in (self.root / key).rglob("*") if path.is_file()):
            status = path.stat()
            name = path.relative_to(self.root).as_posix()
            yield StoredObject(name, status.st_size, status.st_mtime)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete files, and the folders that they leave empty."""
        for key in keys:
            path = self.root / key
            with self._on_disk():
                path.unlink(missing_ok=True)
                for folder in path.parents:
                    if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                        break
                    folder.rmdir()

    def workspace(self, key: str) -> Path:
        """``{run}/.work/{artifact}-…``.

        Raises:
            ConfigError: at ``key`` lies what is no artifact: a commit leaves none without manifest.
        """
        target = self.root / key
        with self._on_disk():
            if target.exists() and not (target / MANIFEST).exists() and any(target.iterdir()):
                raise ConfigError(
                    f"{target} is there and is no artifact of gdrl's; move it, or choose another "
                    "name or storage"
                )
            return self._workspaces.open(self._work(key), target.name)

    def publish(self, folder: Path, key: str) -> None:
        """Rename the workspace, its manifest already inside."""
        target = self.root / key
        with self._on_disk():
            try:
                folder.rename(target)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    raise FileExistsError(str(target)) from error
                raise
            self._workspaces.close(folder)

    def tree(self, key: str, manifest: Manifest) -> str:  # noqa: ARG002
        """The artifact's folder itself."""
        return key

    def fetch(self, tree: str, files: Sequence[FileEntry]) -> Path:
        """The folder itself: its files are local already, and checked now."""
        with self._on_disk():
            for entry in files:
                verify(self.root / tree / entry.path, entry)
        return self.root / tree

    def discard(self, key: str) -> None:
        """Move away in one step, then delete: no reader meets half an artifact."""
        target = self.root / key
        with self._on_disk():
            if target.exists():
                work = self._work(key)
                work.mkdir(parents=True, exist_ok=True)
                trash = Path(tempfile.mkdtemp(dir=work, prefix="trash-"))
                target.rename(trash / target.name)
                shutil.rmtree(trash)

    def location(self, key: str) -> Storage:
        """The absolute path."""
        return Storage(str(self.root / key))

    def _on_disk(self) -> AbstractContextManager[None]:
        remedy = "make it writable, make room there, or name another storage"
        return on_disk(self.root, remedy)

    def _work(self, key: str) -> Path:
        return self.root / key.partition("/")[0] / ".work"
