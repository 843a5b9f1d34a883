"""A proxy in front of an S3 server that does to requests what networks and machines do."""

import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import urllib3

Fault = Literal["", "refuse", "reset", "lose", "truncate", "slow", "conflict", "deny", "expire"]
"""What happens to a request: a 503; the connection reset before or after the server acted; half a
body; a second of silence; a 409; a 403; an expired token."""

SLOW_SECONDS = 1.0
ANSWERS = {
    "refuse": (503, "SlowDown"),
    "conflict": (409, "ConditionalRequestConflict"),
    "deny": (403, "AccessDenied"),
    "expire": (400, "ExpiredToken"),
}
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "expect"}


class Proxy(ThreadingHTTPServer):
    """``fault(method, path, nth)`` decides about the nth time that this was asked, from 0.

    ``after`` is called with the number of the request, from 1, once the server has acted and before
    the client hears of it.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.fault: Callable[[str, str, int], Fault] = lambda *_: ""
        self.after: Callable[[int], None] = lambda _: None
        self.asked: list[tuple[str, str]] = []
        self.faults = Counter[str]()
        self._pool = urllib3.connection_from_url(upstream, maxsize=32, retries=False)
        self._counting = threading.Lock()

    def count(self, method: str, path: str) -> tuple[int, Fault]:
        """The number of this request, and what is to happen to it."""
        with self._counting:
            fault = self.fault(method, path, self.asked.count((method, path)))
            self.asked.append((method, path))
            self.faults[fault] += 1
            return len(self.asked), fault

    def forward(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> urllib3.BaseHTTPResponse:
        """The server's answer. ``Host`` stays the client's: it is signed."""
        return self._pool.urlopen(method, path, body, headers, decode_content=False)

    def handle_error(self, *_: object) -> None:
        """A client that was killed or reset is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        number, fault = self.server.count(self.command, self.path)
        if fault == "reset":
            return self._reset()
        if fault in ANSWERS:
            status, code = ANSWERS[fault]
            content = f"<Error><Code>{code}</Code><Message>a fault</Message></Error>".encode()
            return self._answer(status, {"Content-Type": "application/xml"}, content)
        if fault == "slow":
            time.sleep(SLOW_SECONDS)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
        answer = self.server.forward(self.command, self.path, headers, body)
        self.server.after(number)
        if fault == "lose":
            return self._reset()
        return self._answer(
            answer.status, dict(answer.headers), answer.data, whole=fault != "truncate"
        )

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    def _answer(
        self, status: int, headers: dict[str, str], content: bytes, whole: bool = True
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        length = len(content)
        if self.command == "HEAD":
            length = int(headers.get("Content-Length", 0))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if whole else content[: length // 2])
        self.close_connection = not whole

    def _reset(self) -> None:
        """Close with RST rather than FIN."""
        now = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        self.connection.close()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Tests read ``asked``."""


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    with Proxy(upstream) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
