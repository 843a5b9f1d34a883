"""Many bytes to and from S3: several requests at once, broken bodies asked for again."""

import contextlib
import hashlib
import logging
import mimetypes
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from gdrl.artifacts.manifest import FileEntry
from gdrl.artifacts.s3_client import ATTEMPTS, CONCURRENCY
from gdrl.artifacts.verification import check, missing

PART_BYTES = 8 * 2**20
"""What one request reads; the default of boto3's own transfer manager."""

_log = logging.getLogger(__name__)


def upload(s3: Any, bucket: str, files: Mapping[Path, str]) -> None:
    """Upload files under keys; large ones in parts, which are given up together on an error."""
    from boto3.s3.transfer import TransferConfig, create_transfer_manager

    settings = TransferConfig(max_concurrency=CONCURRENCY, preferred_transfer_client="classic")
    with create_transfer_manager(s3, settings) as manager:
        running = [
            manager.upload(str(path), bucket, key, extra_args={"ContentType": kind(key)})
            for path, key in files.items()
        ]
        for future in running:
            future.result()


def download(s3: Any, bucket: str, prefix: str, files: Sequence[FileEntry], folder: Path) -> None:
    """Write objects into ``folder``, each as a file named by its sha256, checked on its way.

    Raises:
        ArtifactCorrupt: naming the object that is missing or differs from its entry.
    """
    keys = [f"{prefix}/{entry.path}" for entry in files]
    loads = (
        partial(_load, s3, bucket, key, first, entry.size, folder / entry.sha256)
        for key, entry in zip(keys, files, strict=True)
        for first in _starts(entry.size)
    )
    # Closed before an error leaves here: nothing is written into ``folder`` after that.
    with contextlib.closing(_in_order(loads)) as parts:
        for key, entry in zip(keys, files, strict=True):
            digest, size = hashlib.sha256(), 0
            for content in islice(parts, len(_starts(entry.size))):
                size += len(content)
                digest.update(content)
            check(f"s3://{bucket}/{key}", size, digest.hexdigest(), entry)


def _in_order(loads: Iterator[Callable[[], bytes]]) -> Generator[bytes]:
    """What each load returns, in order, while the next ones are under way."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        ahead = deque(pool.submit(load) for load in islice(loads, 2 * CONCURRENCY))
        try:
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(load) for load in islice(loads, 1))
        finally:
            pool.shutdown(cancel_futures=True)


def read_object(s3: Any, **request: str) -> bytes:
    """The whole body of ``get_object(**request)``. boto3 tries requests again, but not bodies."""
    from botocore.exceptions import ClientError
    from s3transfer.utils import S3_RETRYABLE_DOWNLOAD_ERRORS

    for attempt in range(1, ATTEMPTS):
        try:
            return _body(s3, request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "404":  # all that is known of a broken answer
                raise
            reason: Exception = error
        except S3_RETRYABLE_DOWNLOAD_ERRORS as error:
            reason = error
        _log.warning("%s broke off, attempt %d: %s", request["Key"], attempt, reason)
        time.sleep(0.1 * 2**attempt)
    return _body(s3, request)


def _body(s3: Any, request: Mapping[str, str]) -> bytes:
    content: bytes = s3.get_object(**request)["Body"].read()
    return content


def _load(s3: Any, bucket: str, key: str, first: int, size: int, path: Path) -> bytes:
    """Read the part of an object that begins at ``first`` into its place in a file."""
    content = _read_part(s3, bucket, key, first, size)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as file:  # noqa: PTH123
        file.seek(first)
        file.write(content)
    return content


def _read_part(s3: Any, bucket: str, key: str, first: int, size: int) -> bytes:
    request = {"Bucket": bucket, "Key": key}
    if size > PART_BYTES:
        request["Range"] = f"bytes={first}-{min(first + PART_BYTES, size) - 1}"
    try:
        return read_object(s3, **request)
    except s3.exceptions.NoSuchKey as error:
        raise missing(f"s3://{bucket}/{key}") from error
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "InvalidRange":
            raise
        return b""  # the object ends before this part; its size will be found wrong


def _starts(size: int) -> range:
    """The first byte of each part; an empty object has one part too."""
    return range(0, max(1, size), PART_BYTES)


def kind(key: str) -> str:
    """The media type, so that a browser shows a report rather than saving it."""
    return mimetypes.guess_type(key)[0] or "application/octet-stream"
