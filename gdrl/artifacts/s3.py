"""A store in a bucket, on any server that speaks S3.

``{run}/{artifact}/manifest.json`` is created on the condition that there is none; the files that it
lists lie under ``{run}/{artifact}/{tree}/``, a tree for each upload. Of two uploads that race, one
creates the manifest; the other's tree is an orphan that no reader sees, as is that of an upload
that died. ``gdrl gc`` deletes orphans.
"""

import hashlib
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from gdrl.artifacts.cache import Cache
from gdrl.artifacts.manifest import MANIFEST, FileEntry, Manifest
from gdrl.artifacts.s3_client import ATTEMPTS, client, explained, split
from gdrl.artifacts.s3_transfer import download, kind, read_object, upload
from gdrl.artifacts.storage import Storage
from gdrl.artifacts.store import StoredObject, on_disk
from gdrl.artifacts.workspaces import Workspaces
from gdrl.errors import StorageError

DELETED_AT_ONCE = 1_000
"""The most keys that one DeleteObjects takes."""

_appending = threading.Lock()


class S3Store:
    """A bucket and a prefix that hold runs."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._bucket, self._prefix = split(storage.uri)
        self._cache = Cache(storage.s3)
        self._workspaces = Workspaces()

    def read(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is none."""
        with self._explained(key) as s3:
            try:
                return read_object(s3, Bucket=self._bucket, Key=self._full(key))
            except s3.exceptions.NoSuchKey:
                return None

    def create(self, key: str, content: bytes) -> None:
        """Put an object on the condition that there is none.

        A request whose answer was lost is sent again and finds its own object: a mark in the
        object's metadata tells that from an object of somebody else.
        """
        mark = uuid.uuid4().hex
        with self._explained(key) as s3:
            if not self._put_new(s3, self._full(key), content, mark):
                raise FileExistsError(str(self.location(key)))

    def append(self, key: str, text: str) -> None:
        """Write the log anew with the text at its end."""
        with _appending, self._explained(key) as s3:
            content = (self.read(key) or b"") + text.encode()
            s3.put_object(
                Bucket=self._bucket, Key=self._full(key), Body=content, ContentType="text/plain"
            )

    def names(self, key: str) -> list[str]:
        """The next step of every key below."""
        below = self._below(key)
        found = set[str]()
        with self._explained(key):
            for page in self._pages(key, Delimiter="/"):
                found.update(o["Key"][len(below) :] for o in page.get("Contents", ()))
                found.update(p["Prefix"][len(below) : -1] for p in page.get("CommonPrefixes", ()))
        return sorted(found - {""})

    def objects(self, key: str) -> Iterator[StoredObject]:
        """Objects in order of key, a page at a time."""
        root = len(self._below(""))
        with self._explained(key):
            for page in self._pages(key):
                for o in page.get("Contents", ()):
                    yield StoredObject(o["Key"][root:], o["Size"], o["LastModified"].timestamp())

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, a thousand at a time."""
        waiting = iter(keys)
        while some := list(islice(waiting, DELETED_AT_ONCE)):
            with self._explained(some[0]) as s3:
                objects = [{"Key": self._full(key)} for key in some]
                answer = s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
                )
            for error in answer.get("Errors", ()):
                raise StorageError(
                    f"s3://{self._bucket}/{error['Key']} was not deleted: {error['Code']}; "
                    "ask for the right to delete there, then run the same command again"
                )

    def workspace(self, key: str) -> Path:
        """A folder beside the cache, on this machine."""
        with self._caching():
            return self._workspaces.open(self._cache.root / "work", key.replace("/", "."))

    def publish(self, folder: Path, key: str) -> None:
        """Upload the files, then create the manifest: the only commit point."""
        content = (folder / MANIFEST).read_bytes()
        manifest = Manifest.model_validate_json(content)
        if self.read(f"{key}/{MANIFEST}") is not None:
            raise FileExistsError(str(self.location(key)))
        tree = self._full(self.tree(key, manifest))
        files = {folder / entry.path: f"{tree}/{entry.path}" for entry in manifest.files}
        with self._explained(key) as s3:
            upload(s3, self._bucket, files)
        self.create(f"{key}/{MANIFEST}", content)
        self._workspaces.close(folder)

    def tree(self, key: str, manifest: Manifest) -> str:
        """``{key}/{attempt}-{hash of the files}``.

        The attempt is part of it because one of two jobs that made equal files may be discarded
        while the other uploads; the hash, because nothing is ever replaced by other bytes.
        """
        digest = hashlib.sha256()
        for entry in manifest.files:
            digest.update(f"{entry.sha256} {entry.size} {entry.path}\n".encode())
        return f"{key}/{manifest.attempt}-{digest.hexdigest()[:16]}"

    def fetch(self, tree: str, files: Sequence[FileEntry]) -> Path:
        """Links to cached files; what the cache lacks is downloaded and checked first."""
        with self._caching(f" cannot take {tree}"):
            lacking = {entry.sha256: entry for entry in files if not self._cache.holds(entry)}
            if lacking:
                self._download(tree, list(lacking.values()))
            return self._cache.folder(str(self.location(tree)), files)

    def discard(self, key: str) -> None:
        """Delete the manifest, then its tree: others' uploads to ``key`` are left alone."""
        content = self.read(f"{key}/{MANIFEST}")
        below = key
        if content is not None:
            below = self.tree(key, Manifest.model_validate_json(content))
            self.delete([f"{key}/{MANIFEST}"])
        self.delete(found.key for found in self.objects(below))

    def location(self, key: str) -> Storage:
        """The URI."""
        return self.storage / key if key else self.storage

    def _download(self, tree: str, files: Sequence[FileEntry]) -> None:
        folder = self._workspaces.open(self._cache.root / "work", "download")
        try:
            with self._explained(tree) as s3:
                download(s3, self._bucket, self._full(tree), files, folder)
            for entry in files:
                self._cache.add(folder / entry.sha256, entry)
        finally:
            self._workspaces.close(folder)

    def _put_new(self, s3: Any, key: str, content: bytes, mark: str) -> bool:
        """Whether the object is ours. A server may ask a racer to try again (409)."""
        for _ in range(ATTEMPTS):
            try:
                s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=content,
                    IfNoneMatch="*",
                    ContentType=kind(key),
                    Metadata={"mark": mark},
                )
                return True
            except s3.exceptions.ClientError as error:
                code = error.response["Error"]["Code"]
                if code in ("PreconditionFailed", "412"):
                    found = s3.head_object(Bucket=self._bucket, Key=key)
                    return bool(found["Metadata"].get("mark") == mark)
                if code != "ConditionalRequestConflict":
                    raise
        raise StorageError(f"s3://{self._bucket}/{key}: others write it without end; try again")

    def _pages(self, key: str, **options: str) -> Iterator[dict[str, Any]]:
        pages = client(self.storage.s3).get_paginator("list_objects_v2")
        yield from pages.paginate(Bucket=self._bucket, Prefix=self._below(key), **options)

    def _below(self, key: str) -> str:
        """What full keys below ``key`` begin with."""
        return f"{self._full(key)}/".lstrip("/")

    def _full(self, key: str) -> str:
        return f"{self._prefix}/{key}".strip("/")

    def _caching(self, what: str = "") -> AbstractContextManager[None]:
        remedy = "make room there, make it writable, or set s3.cache to another folder"
        return on_disk(f"{self._cache.root}{what}", remedy)

    @contextmanager
    def _explained(self, key: str) -> Iterator[Any]:
        """The client, with its errors about ``key`` explained."""
        with explained(str(self.location(key)), self.storage.s3):
            yield client(self.storage.s3)
