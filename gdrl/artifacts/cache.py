"""Files that were read and verified, by content: shared by all runs and processes of a machine."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gdrl.artifacts.manifest import FileEntry
from gdrl.artifacts.verification import trust, verify
from gdrl.config import S3Settings
from gdrl.errors import ArtifactCorrupt


class Cache:
    """``objects/{2 digits}/{sha256}``, and folders of hard links to them.

    A file appears by one rename, whole and verified; many processes may add the same one.
    """

    def __init__(self, s3: S3Settings) -> None:
        self.root = Path(s3.cache or "~/.cache/gdrl").expanduser().absolute()

    def holds(self, entry: FileEntry) -> bool:
        """Whether the file is here, and as it was.

        One that is not is left: :meth:`add` replaces it, and another reader may have done so.
        """
        try:
            verify(self._path(entry), entry)
        except ArtifactCorrupt:
            return False
        return True

    def add(self, file: Path, entry: FileEntry) -> None:
        """Move a file here whose bytes were checked."""
        file.chmod(0o444)
        path = self._path(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)
        trust(path, entry)

    def folder(self, name: str, files: Sequence[FileEntry]) -> Path:
        """A folder for the tree called ``name``, with these files, all of which are here."""
        folder = self.root / "trees" / hashlib.sha256(name.encode()).hexdigest()[:16]
        for entry in files:
            _link(self._path(entry), folder / entry.path)
        return folder

    def _path(self, entry: FileEntry) -> Path:
        return self.root / "objects" / entry.sha256[:2] / entry.sha256


def _link(target: Path, path: Path) -> None:
    """Make ``path`` a hard link to ``target``, whatever it was."""
    with contextlib.suppress(FileNotFoundError):
        if path.samefile(target):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".new-") as new:
        os.link(target, Path(new) / path.name)
        (Path(new) / path.name).replace(path)
