"""Files against the manifest that lists them: nothing is opened that differs from it."""

import threading
from pathlib import Path

from gdrl.artifacts.manifest import FileEntry, sha256_of
from gdrl.errors import ArtifactCorrupt

_REMEDY = "delete the artifact's folder and run the same command again to make it anew"

_verified: set[tuple[Path, int, FileEntry]] = set()
_verifying = threading.Lock()


def verify(path: Path, entry: FileEntry) -> None:
    """Check a file once per process and state: several stages open the same dataset.

    Raises:
        ArtifactCorrupt: the file is missing or differs from its entry.
    """
    if not path.is_file():
        raise missing(str(path))
    if path.stat().st_size != entry.size:
        check(str(path), path.stat().st_size, "", entry)
    with _verifying:
        if _state(path, entry) not in _verified:
            check(str(path), entry.size, sha256_of(path), entry)
            _verified.add(_state(path, entry))


def trust(path: Path, entry: FileEntry) -> None:
    """Spare :func:`verify` a file whose bytes were checked on their way to the disk."""
    with _verifying:
        _verified.add(_state(path, entry))


def check(name: str, size: int, sha256: str, entry: FileEntry) -> None:
    """Compare what was found at ``name``, a path or a URI, with its entry.

    Raises:
        ArtifactCorrupt: it differs.
    """
    if size != entry.size:
        raise ArtifactCorrupt(f"{name} has {size} bytes, its manifest says {entry.size}; {_REMEDY}")
    if sha256 != entry.sha256:
        raise ArtifactCorrupt(f"{name} differs from its manifest in sha256; {_REMEDY}")


def missing(name: str) -> ArtifactCorrupt:
    """The error for a file that is not where its manifest says."""
    return ArtifactCorrupt(f"{name} is missing, though its manifest lists it; {_REMEDY}")


def _state(path: Path, entry: FileEntry) -> tuple[Path, int, FileEntry]:
    return path, path.stat().st_mtime_ns, entry
