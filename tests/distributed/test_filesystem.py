import pickle
import threading
from collections.abc import Iterator
from contextlib import suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ray import cloudpickle
from seaweed import Seaweed

from gdrl.artifacts import Storage
from gdrl.artifacts.s3_client import client
from gdrl.config import S3Settings
from gdrl.distributed.filesystem import AmbientS3, filesystem
from gdrl.errors import StorageError


def test_what_pyarrow_writes_boto3_reads(seaweed: Seaweed) -> None:
    bucket = seaweed.bucket()
    s3, path = filesystem(Storage(f"s3://{bucket}/a/prefix", seaweed.s3))
    with pickle.loads(pickle.dumps(s3)).open_output_stream(f"{path}/file") as file:
        file.write(b"content")
    answer = client(seaweed.s3).get_object(Bucket=bucket, Key="a/prefix/file")
    assert answer["Body"].read() == b"content"


def test_a_folder_is_a_path_here(tmp_path: Path) -> None:
    local, path = filesystem(Storage(str(tmp_path / "a/../b")))
    assert (local.type_name, path) == ("local", str(tmp_path / "b"))


def test_no_credential_is_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "planted")
    s3 = AmbientS3(S3Settings(endpoint="http://127.0.0.1:1"))
    for pickled in (pickle.dumps(s3), cloudpickle.dumps(s3)):
        assert b"127.0.0.1:1" in pickled
        assert b"planted" not in pickled


def test_refused_credentials_are_an_error_with_a_remedy(
    seaweed: Seaweed, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(f"s3://{seaweed.bucket()}", seaweed.s3)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted")
    with pytest.raises(StorageError, match="takes credentials from AWS_…") as caught:
        filesystem(storage)
    assert "planted" not in str(caught.value)


@pytest.fixture
def uploads() -> Iterator[tuple[str, list[Message]]]:
    """A server that takes every upload and keeps its headers; its address."""
    headers = list[Message]()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            headers.append(self.headers)
            self.send_error(400)

        def do_POST(self) -> None:
            kind = b"InitiateMultipartUploadResult"
            content = b"<%b><UploadId>1</UploadId></%b>" % (kind, kind)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", headers
    server.shutdown()


@pytest.mark.parametrize(
    ("checksums", "trailer"),
    [("when_required", None), ("when_supported", "x-amz-checksum-crc64nvme")],
)
def test_the_checksum_mode_is_that_of_boto3(
    uploads: tuple[str, list[Message]],
    monkeypatch: pytest.MonkeyPatch,
    checksums: str,
    trailer: str | None,
) -> None:
    endpoint, headers = uploads
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    s3 = AmbientS3(S3Settings(endpoint=endpoint, checksums=checksums))
    with suppress(OSError), s3.open_output_stream("bucket/key") as file:
        file.write(b"content")
    assert headers[0]["x-amz-trailer"] == trailer
