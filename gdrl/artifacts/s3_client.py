"""The one way to S3: a boto3 client from ``[s3]``, and its errors in words that name the remedy.

boto3 takes half a second to import: a run in a folder never does.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from gdrl.config import S3Settings
from gdrl.errors import StorageError

CONCURRENCY = 10
"""Requests in flight of one transfer; the default of boto3's own transfer manager."""
ATTEMPTS = 5
"""Of each request, with exponential backoff: 10 % of failures leave 1 in 100,000."""

_DENIED = {
    "403",
    "AccessDenied",
    "ExpiredToken",
    "ExpiredTokenException",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}


@cache
def client(s3: S3Settings) -> Any:
    """A boto3 S3 client: one for all threads of a process. Credentials are the ambient ones."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    return session.client(
        "s3",
        endpoint_url=s3.endpoint or None,
        region_name=s3.region or session.region_name or "us-east-1",
        verify=s3.ca_file or None,
        config=Config(
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=CONCURRENCY,
            request_checksum_calculation=s3.checksums,
            response_checksum_validation=s3.checksums,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            s3={"addressing_style": s3.addressing},
        ),
    )


os.register_at_fork(after_in_child=client.cache_clear)  # two processes cannot share a connection


def split(uri: str) -> tuple[str, str]:
    """``s3://bucket/a/b`` as ``("bucket", "a/b")``."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix.strip("/")


@contextmanager
def explained(uri: str, s3: S3Settings) -> Iterator[None]:
    """Turn what boto3 raises about ``uri`` into a :class:`StorageError` with the remedy.

    Raises:
        StorageError: no such bucket, refused or missing credentials, no answer.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import RetriesExceededError

    try:
        yield
    except ClientError as error:
        raise StorageError(_answer(error.response["Error"], uri, s3)) from error
    except (BotoCoreError, Boto3Error, RetriesExceededError) as error:
        raise StorageError(_no_answer(error, uri, s3)) from error


def _answer(error: dict[str, str], uri: str, s3: S3Settings) -> str:
    """What to do about an error that the server answered."""
    code = error.get("Code", "unknown")
    if code == "NoSuchBucket":
        return f"{uri}: there is no bucket {split(uri)[0]!r} at {_server(s3)}; create it first"
    if code in _DENIED:
        return (
            f"{uri}: {_server(s3)} refused the credentials ({code}); renew them, or ask for the "
            "right to read, write, list and delete there"
        )
    return (
        f"{uri}: {_server(s3)} answered {code} {ATTEMPTS} times or for good: "
        f"{error.get('Message', '')}; the same command goes on from what is finished"
    )


def _no_answer(error: Exception, uri: str, s3: S3Settings) -> str:
    """What to do where no answer came, or no question could be sent."""
    from botocore.exceptions import (
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        SSLError,
    )

    if isinstance(error, NoCredentialsError | PartialCredentialsError | CredentialRetrievalError):
        return (
            f"{uri}: no credentials for {_server(s3)}; set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role"
        )
    if isinstance(error, SSLError):
        return f"{uri}: {_server(s3)} is not trusted; set s3.ca_file to its certificate authority"
    return f"{uri}: no answer from {_server(s3)} ({error}); check s3.endpoint and the network"


def _server(s3: S3Settings) -> str:
    return s3.endpoint or os.environ.get("AWS_ENDPOINT_URL") or "AWS S3"
