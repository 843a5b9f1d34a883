"""Any OpenAI-compatible server (vLLM, Ray Serve LLM, transformers serve, a vendor) as an engine.

Pictures travel as data URIs only, so the server is never told to fetch anything. Nothing is asked
again here but for its form: who waits for a busy server is the client (:mod:`gdrl.distributed`).
"""

import base64
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import urllib3

from gdrl.errors import ConfigError, DataError, EndpointError
from gdrl.mllm.completions import KEPT_REPLY, LOGPROBS, request, schema, understand
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.images import decode

_MAX_REPLY_BYTES = 2**20
_BUSY = (429, 503)
_NOT_OFFERED = (400, 422)
_PAUSE_SECONDS = 1.0
"""Asked of the client where a busy server names no time."""
_LONGEST_PAUSE_SECONDS = 60.0
"""However long the server names: after this, asking once more is no burden."""


class _Response(NamedTuple):
    status: int
    text: str
    retry_after_seconds: float | None


class OpenAIEngine:
    """Answers queries through ``POST {endpoint}/chat/completions``.

    A server that can is made to write one of the options (``response_format``) and to say how
    probable each was (``logprobs``); one that rejects these is asked without, from then on. Where
    there are no log-probabilities, the option that the reply names has probability 1. A reply that
    names none is asked for once more with the options spelt out.

    Args:
        endpoint: base URL, ``http://host:port/v1``.
        model: the name it is served under.
        concurrency: requests at the same time.
        timeout_seconds: for one request.
        api_key: sent as a bearer token; empty sends none.

    Raises:
        ConfigError: ``endpoint`` is no http(s) URL.
        EndpointError: nothing listens there. Later, that is an answer: ``lost``.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        concurrency: int = 8,
        timeout_seconds: float = 60.0,
        api_key: str = "",
    ) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"recipe.mllm.endpoint: {endpoint!r} is no http:// or https:// URL")
        self.model = model
        self._endpoint = endpoint.rstrip("/")
        self._concurrency = concurrency
        self._offers = 2  # of schema and log-probabilities; 1: log-probabilities alone
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = urllib3.PoolManager(
            maxsize=concurrency,
            block=True,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(10.0, timeout_seconds), read=timeout_seconds),
        )
        self.revision = self._served_revision()

    def answer(self, queries: Sequence[Query]) -> list[Answer]:
        """Answer every query, in order, a few at a time.

        A query that a busy server turned away is ``failed`` and says how long to wait; one whose
        connection broke, or that got no reply in time, is ``failed`` and ``lost``.
        """
        pictures, failures = _data_uris(queries)

        def one(query: Query) -> Answer:
            damaged = next((failures[i] for i in query.images if i in failures), "")
            if damaged:
                return Answer("failed", reason=damaged)
            return self._answer_one(query, [pictures[image] for image in query.images])

        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(one, queries))

    def _answer_one(self, query: Query, pictures: Sequence[str]) -> Answer:
        answer = self._asked(query, request(self.model, query, pictures))
        if answer.status != "unparsable" or not query.options:
            return answer
        repaired = self._asked(query, request(self.model, query, pictures, again=True))
        return repaired if repaired.status == "ok" else answer

    def _asked(self, query: Query, body: dict[str, Any]) -> Answer:
        try:
            response = self._post(body, query.options)
        except urllib3.exceptions.ReadTimeoutError:
            return Answer("failed", reason="the endpoint did not reply in time", lost=True)
        except EndpointError as error:
            return Answer("failed", reason=str(error), lost=True)
        if response.status >= 300:
            said = " ".join(response.text.split())[:200]
            return Answer(
                "failed",
                reason=f"HTTP {response.status} {said}".strip(),
                reply=response.text[:KEPT_REPLY],
                retry_after_seconds=response.retry_after_seconds,
            )
        return understand(response.text, query.options)

    def _post(self, body: dict[str, Any], options: Sequence[str]) -> _Response:
        """The response with as much as the server offers; what it rejects is not asked for again.

        A request that is rejected with and without says nothing of what is offered.
        """
        if not options:
            return self._request("POST", "chat/completions", json.dumps(body))
        extras: tuple[Mapping[str, Any], ...] = ({}, LOGPROBS, {**LOGPROBS, **schema(options)})
        for offers in range(self._offers, -1, -1):
            text = json.dumps({**body, **extras[offers]})
            response = self._request("POST", "chat/completions", text)
            if response.status not in _NOT_OFFERED:
                self._offers = min(self._offers, offers)
                break
        return response

    def _request(
        self, method: str, path: str, body: str | None = None, *, keep: bool = True
    ) -> _Response:
        """One request, whose connection is kept for others or not.

        Raises:
            EndpointError: no connection, or it broke.
            ReadTimeoutError: connected, but no reply in time.
        """
        kept = "keep-alive" if keep else "close"
        headers = {**self._http.headers, "Content-Type": "application/json", "Connection": kept}
        try:
            response = self._http.request(
                method,
                f"{self._endpoint}/{path}",
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            text = response.read(_MAX_REPLY_BYTES).decode("utf-8", errors="replace")
            response.release_conn()
        except urllib3.exceptions.ReadTimeoutError:
            raise
        except urllib3.exceptions.HTTPError as error:
            raise EndpointError(
                f"recipe.mllm.endpoint: {self._endpoint} cannot be reached ({error}); start the "
                "server there, correct the URL, or leave the endpoint empty to run the model here"
            ) from error
        pause = _pause(response.headers) if response.status in _BUSY else None
        return _Response(response.status, text, pause)

    def _served_revision(self) -> str:
        """What ``/models`` says of the model's revision or root; empty where it says nothing."""
        try:
            # uvicorn hangs up on whom it answered 500, once it has written its log, and
            # ``transformers serve`` without a cache of models answers that: the first question,
            # on its way by then, was lost.
            response = self._request("GET", "models", keep=False)
            listed = json.loads(response.text)["data"] if response.status == 200 else []
            served: list[dict[str, Any]] = [e for e in listed if e.get("id") == self.model]
        except (
            urllib3.exceptions.ReadTimeoutError,
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ):
            return ""
        return str(served[0].get("revision") or served[0].get("root") or "") if served else ""


def _pause(headers: Mapping[str, str]) -> float:
    """``Retry-After`` in seconds (the form with a date is taken for none)."""
    said = headers.get("Retry-After", "")
    seconds = float(said) if said.isascii() and said.isdigit() else _PAUSE_SECONDS
    return min(seconds, _LONGEST_PAUSE_SECONDS)


def _data_uris(queries: Sequence[Query]) -> tuple[dict[bytes, str], dict[bytes, str]]:
    """Every distinct picture as a data URI; for those that cannot be decoded, the reason.

    The server need not find that out, nor unfold what claims to be 60,000 pixels wide.
    """
    uris: dict[bytes, str] = {}
    failures: dict[bytes, str] = {}
    for image in dict.fromkeys(image for query in queries for image in query.images):
        try:
            decode(image)
        except DataError as error:
            failures[image] = str(error)
        else:
            kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
            uris[image] = f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
    return uris, failures
