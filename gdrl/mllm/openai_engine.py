"""Any OpenAI-compatible server (vLLM, Ray Serve LLM, transformers serve) as an engine.

Pictures travel as data URIs only, so the server is never told to fetch anything.
"""

import base64
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import urllib3

from gdrl.errors import ConfigError, DataError, EndpointError
from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.images import decode
from gdrl.mllm.replies import distribution, is_refusal, parse_option

_MAX_REPLY_BYTES = 2**20
_KEPT_REPLY = 2_000
"""Characters of a raw reply that are kept with its answer."""
_MAX_TOKENS = 24
"""Room for an attribute's name or a small JSON object; a longer reply is no answer."""
_RETRIED = (429, 500, 502, 503, 504)


class OpenAIEngine:
    """Answers queries through ``POST {endpoint}/chat/completions``.

    Log-probabilities are used where the server offers them; elsewhere one option is parsed out of
    the reply and has probability 1.

    Args:
        endpoint: base URL, ``http://host:port/v1``.
        model: the name it is served under.
        concurrency: requests at the same time.
        timeout_seconds: for one request.
        attempts: tries of one request while the server answers 429 or 5xx.
        pause_seconds: wait before the second try, doubled before each further one.
        api_key: sent as a bearer token; empty sends none.

    Raises:
        ConfigError: ``endpoint`` is no http(s) URL.
        EndpointError: nothing listens there. Raised by ``answer`` too.
    """

    def __init__(
        self,
        endpoint: str,
        model: str,
        *,
        concurrency: int = 8,
        timeout_seconds: float = 60.0,
        attempts: int = 3,
        pause_seconds: float = 0.5,
        api_key: str = "",
    ) -> None:
        if not endpoint.startswith(("http://", "https://")):
            raise ConfigError(f"recipe.mllm.endpoint: {endpoint!r} is no http:// or https:// URL")
        self.model = model
        self._endpoint = endpoint.rstrip("/")
        self._concurrency = concurrency
        self._attempts = attempts
        self._pause_seconds = pause_seconds
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

        Raises:
            EndpointError: the connection fails.
        """
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(self._answer_one, queries))

    def _answer_one(self, query: Query) -> Answer:
        try:
            uris = [_data_uri(image) for image in query.images]
        except DataError as error:
            return Answer("failed", reason=str(error))
        pictures = [{"type": "image_url", "image_url": {"url": uri}} for uri in uris]
        content = [*pictures, {"type": "text", "text": query.question}]
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "temperature": 0,
            "max_tokens": _MAX_TOKENS,
            "logprobs": True,
            "top_logprobs": 20,
        }
        try:
            status, reply = self._post(body)
        except urllib3.exceptions.ReadTimeoutError:
            return Answer("failed", reason="the endpoint did not reply in time")
        if status >= 300:
            return Answer("failed", reason=f"HTTP {status}", reply=reply[:_KEPT_REPLY])
        return understand(reply, query.options)

    def _post(self, body: dict[str, Any]) -> tuple[int, str]:
        pause = self._pause_seconds
        for attempt in range(1, self._attempts + 1):
            status, reply = self._request("POST", "chat/completions", json.dumps(body))
            if status not in _RETRIED or attempt == self._attempts:
                break
            time.sleep(pause)
            pause *= 2
        return status, reply

    def _request(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        """Status and text of one request.

        Raises:
            EndpointError: no connection, or it broke.
            ReadTimeoutError: connected, but no reply in time.
        """
        headers = {**self._http.headers, "Content-Type": "application/json"}
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
        return response.status, text

    def _served_revision(self) -> str:
        """What ``/models`` says of the model's revision or root; empty where it says nothing."""
        try:
            status, reply = self._request("GET", "models")
            served = json.loads(reply)["data"] if status == 200 else []
        except (urllib3.exceptions.ReadTimeoutError, ValueError, KeyError, TypeError):
            return ""
        entry: dict[str, Any] = next((e for e in served if e.get("id") == self.model), {})
        return str(entry.get("revision") or entry.get("root") or "")


def understand(body: str, options: Sequence[str]) -> Answer:
    """A chat completion's body as an answer."""
    try:
        choice = json.loads(body)["choices"][0]
        reply = choice["message"].get("content") or ""
        refusal = choice["message"].get("refusal") or ""
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return Answer("unparsable", reason="no chat completion", reply=body[:_KEPT_REPLY])
    kept = (refusal or reply)[:_KEPT_REPLY]
    if refusal or choice.get("finish_reason") == "content_filter" or is_refusal(reply):
        return Answer("refused", reason="the model refused", reply=kept)
    chosen = parse_option(reply, options)
    if chosen is None:
        return Answer("unparsable", reason="the reply names no single option", reply=kept)
    content = (choice.get("logprobs") or {}).get("content") or []
    return Answer("ok", distribution(content, options, chosen), reply=kept)


def _data_uri(image: bytes) -> str:
    """The picture as a data URI.

    Raises:
        DataError: it cannot be decoded; the server need not find that out.
    """
    decode(image)
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"
