import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gdrl.errors import ConfigError, EndpointError
from gdrl.mllm.openai_engine import OpenAIEngine
from gdrl.mllm.questions import score_query

Reply = tuple[int, str]


class ScriptedServer:
    """A chat completion server on loopback that says what a test tells it to."""

    def __init__(self) -> None:
        self.reply: Callable[[int], Reply] = lambda _: (200, completion("3"))
        self.models: Reply = (200, json.dumps({"data": [{"id": "some-model", "root": "abc123"}]}))
        self.requests: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(*outer.models)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(json.loads(body))
                self._send(*outer.reply(len(outer.requests)))

            def _send(self, status: int, text: str) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def completion(content: str | None, **choice: object) -> str:
    return json.dumps({"choices": [{"message": {"content": content}, **choice}]})


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    running = ScriptedServer()
    yield running
    running.stop()


def _engine(server: ScriptedServer) -> OpenAIEngine:
    return OpenAIEngine(server.url, "some-model", concurrency=2, pause_seconds=0.0)


def test_pictures_travel_as_data_uris(server: ScriptedServer, images: list[bytes]) -> None:
    (answer,) = _engine(server).answer([score_query(images[0], "hat")])
    picture, text = server.requests[0]["messages"][0]["content"]
    assert picture["image_url"]["url"].startswith("data:image/png;base64,")
    assert text["text"].endswith("hat")
    assert answer.status == "ok"
    assert answer.probabilities == (0, 0, 0, 1, 0, 0)


def test_log_probabilities_are_used_where_offered(
    server: ScriptedServer, images: list[bytes]
) -> None:
    top = [{"token": "3", "logprob": -0.2876821}, {"token": "4", "logprob": -1.3862944}]
    content = [{"token": "3", "logprob": -0.2876821, "top_logprobs": top}]
    server.reply = lambda _: (200, completion("3", logprobs={"content": content}))
    (answer,) = _engine(server).answer([score_query(images[0], "hat")])
    assert answer.probabilities == pytest.approx((0, 0, 0, 0.75, 0.25, 0), abs=1e-6)


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        ((200, completion("it could be anything")), "unparsable"),
        ((200, completion(None)), "unparsable"),
        ((200, "<html>"), "unparsable"),
        ((200, "[]"), "unparsable"),
        ((200, '{"choices": []}'), "unparsable"),
        ((200, completion("I cannot help with rating people.")), "refused"),
        ((200, completion("3", finish_reason="content_filter")), "refused"),
        ((400, "too long"), "failed"),
        ((404, "no such model"), "failed"),
        ((302, ""), "failed"),
        ((500, "boom"), "failed"),
    ],
)
def test_what_cannot_be_used_has_a_status(
    server: ScriptedServer, images: list[bytes], reply: Reply, status: str
) -> None:
    server.reply = lambda _: reply
    (answer,) = _engine(server).answer([score_query(images[0], "hat")])
    assert answer.status == status
    assert answer.probabilities is None
    assert answer.reason


def test_the_raw_reply_is_kept(server: ScriptedServer, images: list[bytes]) -> None:
    server.reply = lambda _: (200, completion("it could be anything"))
    (answer,) = _engine(server).answer([score_query(images[0], "hat")])
    assert answer.reply == "it could be anything"


def test_a_server_that_recovers_is_asked_again(server: ScriptedServer, images: list[bytes]) -> None:
    server.reply = lambda number: (503, "") if number < 3 else (200, completion("5"))
    (answer,) = _engine(server).answer([score_query(images[0], "hat")])
    assert answer.status == "ok"
    assert len(server.requests) == 3


def test_a_damaged_picture_is_not_sent(server: ScriptedServer, images: list[bytes]) -> None:
    damaged, good = score_query(b"no picture", "hat"), score_query(images[0], "hat")
    answers = _engine(server).answer([damaged, good])
    assert [answer.status for answer in answers] == ["failed", "ok"]
    assert len(server.requests) == 1


def test_the_revision_is_what_the_server_says(server: ScriptedServer) -> None:
    assert _engine(server).revision == "abc123"
    server.models = (404, "")
    assert _engine(server).revision == ""


def test_a_silent_endpoint_is_an_error_that_names_the_setting(
    server: ScriptedServer, images: list[bytes]
) -> None:
    engine = _engine(server)
    server.stop()
    with pytest.raises(EndpointError, match=r"recipe\.mllm\.endpoint"):
        engine.answer([score_query(images[0], "hat")])
    with pytest.raises(EndpointError, match=r"recipe\.mllm\.endpoint"):
        OpenAIEngine(server.url, "some-model")


def test_an_endpoint_is_a_url() -> None:
    with pytest.raises(ConfigError, match=r"recipe\.mllm\.endpoint"):
        OpenAIEngine("file:///etc/passwd", "some-model")
