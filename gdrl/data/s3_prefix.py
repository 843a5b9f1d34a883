"""An ``s3://bucket/prefix`` as a place that images and parquet are read from."""

import io
import sys
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from gdrl.artifacts.s3_client import client, explained, split
from gdrl.config import S3Settings

READ_AHEAD = 2**20
"""Bytes of a request: most images are one; a parquet file is read as far as it is needed."""

_MISSING = frozenset({"404", "NoSuchKey"})
_OF_ONE_OBJECT = _MISSING | {
    "403", "AccessDenied",  # bad credentials answer otherwise, or at the listing
    "412", "PreconditionFailed",  # replaced while it was read
    "InvalidObjectState",  # archived
}  # fmt: skip
_BEYOND_THE_END = frozenset({"416", "InvalidRange"})


@dataclass(frozen=True)
class S3Prefix:
    """The objects below a prefix. It holds no secret: who reads brings the credentials."""

    uri: str
    s3: S3Settings

    def __str__(self) -> str:
        return self.uri

    def open(self, name: str) -> BinaryIO:
        """Open one object.

        Raises:
            OSError: it has vanished or cannot be read.
            StorageError: the server does not answer, or refuses the credentials.
        """
        file = io.BufferedReader(_Object(f"{self.uri}/{name}", self.s3), READ_AHEAD)
        file.peek(1)
        return cast("BinaryIO", file)


def list_prefix(uri: str, s3: S3Settings) -> list[str]:
    """Names of the objects below a prefix, relative to it, sorted, hidden ones left out.

    Raises:
        StorageError: no such bucket, no credentials, or no answer.
    """
    bucket, prefix = split(uri)
    below = f"{prefix}/" if prefix else ""
    with explained(uri, s3):
        pages = client(s3).get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=below)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    names = [key.removeprefix(below) for key in keys]
    return sorted(name for name in names if not any(p.startswith(".") for p in name.split("/")))


class _Object(io.RawIOBase):
    """An object as a file: each read is one request for a range of it."""

    def __init__(self, uri: str, s3: S3Settings) -> None:
        super().__init__()
        self._uri, self._s3 = uri, s3
        self._at = 0
        self._size = sys.maxsize  # until the first answer, which says
        self._version: dict[str, str] = {}

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._size:
            return 0
        answer = self._get(f"bytes={self._at}-{self._at + len(buffer) - 1}")
        if answer is None:
            self._size = 0
            return 0
        data: bytes = answer["Body"]
        self._version = {"IfMatch": answer["ETag"]}
        self._size = int(answer["ContentRange"].rpartition("/")[2])
        self._at += len(data)
        buffer[: len(data)] = data
        return len(data)

    def _get(self, range_: str) -> Any:
        """The answer with its whole body, or None where the object is empty."""
        from botocore.exceptions import ClientError

        bucket, key = split(self._uri)
        with explained(self._uri, self._s3):
            try:
                answer = client(self._s3).get_object(
                    Bucket=bucket, Key=key, Range=range_, **self._version
                )
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code in _BEYOND_THE_END:
                    return None
                if code in _OF_ONE_OBJECT:
                    kind = FileNotFoundError if code in _MISSING else OSError
                    raise kind(f"{code}: {error.response['Error'].get('Message', '')}") from error
                raise
            return answer | {"Body": answer["Body"].read()}
