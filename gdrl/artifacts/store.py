"""Where artifacts lie. Keys are slash-separated paths below the storage's root.

The protocol asks for what both a folder and an object store can promise: whole objects, one
conditional create, and nothing replaced in place. ``publish`` is the only commit.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gdrl.artifacts.manifest import FileEntry, Manifest
from gdrl.artifacts.storage import Storage
from gdrl.errors import ConfigError, StorageError


@dataclass(frozen=True)
class StoredObject:
    """A file or an object as a listing shows it."""

    key: str
    size: int
    """In bytes."""
    modified: float
    """Unix time in seconds."""


class Store(Protocol):
    """A storage's root. Every method takes keys; folders in the signatures are local."""

    def read(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is none."""

    def create(self, key: str, content: bytes) -> None:
        """Write a new object whole; FileExistsError where there is one already."""

    def append(self, key: str, text: str) -> None:
        """Add text to the end of a log that one process writes."""

    def names(self, key: str) -> list[str]:
        """What lies directly below ``key``, sorted; empty where nothing does."""

    def objects(self, key: str) -> Iterator[StoredObject]:
        """Every object below ``key``, however deep."""

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; one that is gone already is no error."""

    def workspace(self, key: str) -> Path:
        """A new, empty local folder to prepare ``key`` in; leftovers of dead processes go."""

    def publish(self, folder: Path, key: str) -> None:
        """Make the files of a workspace appear under ``key``, its ``manifest.json`` last.

        FileExistsError where ``key`` has a manifest already; nothing of it is touched then.
        """

    def tree(self, key: str, manifest: Manifest) -> str:
        """The key that the paths of a published manifest are relative to."""

    def fetch(self, tree: str, files: Sequence[FileEntry]) -> Path:
        """A local folder that holds these files of a tree, each as its entry says.

        ArtifactCorrupt, naming the first file that differs from its entry.
        """

    def discard(self, key: str) -> None:
        """Delete an artifact, its manifest first, or all below a ``key`` that is none."""

    def location(self, key: str) -> Storage:
        """The address of ``key``, for people and for Ray Train's own checkpoints."""


@contextmanager
def on_disk(place: object, remedy: str) -> Iterator[None]:
    """Say what to do where a disk refuses. That something is there already is no refusal.

    Raises:
        StorageError: naming ``place``, what the system says, and the remedy.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise StorageError(f"{place}: {error.strerror or error}; {remedy}") from error


def open_store(storage: Storage) -> Store:
    """The store behind a folder or URI.

    Raises:
        ConfigError: a URI of another kind, or one without a bucket.
    """
    from gdrl.artifacts.local import LocalStore
    from gdrl.artifacts.s3 import S3Store

    scheme, separator, rest = storage.uri.partition("://")
    if not separator:
        return LocalStore(Path(storage.uri).absolute())
    if scheme != "s3" or not rest.partition("/")[0]:
        raise ConfigError(
            f"storage = {storage.uri!r}: name a folder, or s3://bucket/prefix on a server that "
            "speaks S3 with conditional writes (s3.endpoint; gdrl doctor tries them)"
        )
    return S3Store(storage)
