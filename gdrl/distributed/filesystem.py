"""Storage as Ray Train reaches it: pyarrow's file systems, from the settings that boto3 gets."""

import os
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem, S3FileSystem

from gdrl.artifacts import Storage
from gdrl.artifacts.s3_client import client, split
from gdrl.config import S3Settings
from gdrl.errors import StorageError


class AmbientS3(S3FileSystem):  # type: ignore[misc]  # pyarrow has no annotations
    """S3 as ``[s3]`` says. It pickles as these settings, and each process opens it with its own.

    Credentials are the ambient ones of each process: none are in the pickle.
    """

    def __init__(self, s3: S3Settings) -> None:
        # pyarrow has no parameter for it; its SDK asks the environment when a client is made, and
        # otherwise sends the trailer that many servers refuse.
        os.environ["AWS_REQUEST_CHECKSUM_CALCULATION"] = s3.checksums
        os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] = s3.checksums
        found = client(s3).meta  # endpoint and region as boto3 finds them: one server for both
        super().__init__(
            endpoint_override=found.endpoint_url,
            region=found.region_name,
            force_virtual_addressing=s3.addressing == "virtual",  # else path, which AWS takes too
            tls_ca_file_path=s3.ca_file or None,
        )
        self._s3 = s3

    def __reduce__(self) -> tuple[Any, ...]:
        return AmbientS3, (self._s3,)


def filesystem(storage: Storage) -> tuple[Any, str]:
    """The ``pyarrow.fs.FileSystem`` of an address, and the path on it.

    Raises:
        StorageError: it cannot be reached in pyarrow's way, though boto3's may work.
    """
    if not storage.is_remote:
        return LocalFileSystem(), str(Path(storage.uri).resolve())
    s3, path = AmbientS3(storage.s3), "/".join(split(storage.uri)).rstrip("/")
    try:
        s3.get_file_info(path)
    except OSError as error:
        raise StorageError(
            f"{storage}: Ray Train cannot reach it ({error}); it takes credentials from AWS_… "
            "variables, ~/.aws/credentials or the machine's role, and not from SSO"
        ) from error
    return s3, path
