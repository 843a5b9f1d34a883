"""Chat completions, as an OpenAI-compatible server is asked for them and as it gives them.

Strict: a body that does not fit is ``unparsable``, whatever is in it. What a model wrote is data;
it is compared with the options, kept with the answer, and never put into a prompt.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from gdrl.mllm.engine import Answer, Query
from gdrl.mllm.replies import distribution, is_refusal, parse_option

KEPT_REPLY = 2_000
"""Characters of a raw reply that are kept with its answer."""

MAX_TOKENS = 32
"""Room for an attribute's name in a small JSON object; a longer reply is no answer."""

TEXT_TOKENS = 256
"""Room for the reply to a query without options."""

LOGPROBS = {"logprobs": True, "top_logprobs": 20}

ONE_OPTION = "\nAnswer with one of these and nothing else: {options}"
"""What a question gains where the reply to it named no option."""


class _Candidate(BaseModel):
    token: str
    logprob: Annotated[float, Field(le=1e-3)]  # rounding; a larger one is no log-probability


class _Position(_Candidate):
    top_logprobs: list[_Candidate] = []


class _LogProbs(BaseModel):
    content: list[_Position] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _LogProbs | None = None


class _Completion(BaseModel):
    choices: Annotated[list[_Choice], Field(min_length=1)]


def request(
    model: str, query: Query, pictures: Sequence[str], *, again: bool = False
) -> dict[str, Any]:
    """The body of a request; ``pictures`` are data URIs, ``again`` spells the options out."""
    content = [{"type": "image_url", "image_url": {"url": uri}} for uri in pictures]
    text = query.question
    if again:
        text += ONE_OPTION.format(options=", ".join(query.options))
    return {
        "model": model,
        "messages": [{"role": "user", "content": [*content, {"type": "text", "text": text}]}],
        "temperature": 0,
        "max_tokens": MAX_TOKENS if query.options else TEXT_TOKENS,
    }


def schema(options: Sequence[str]) -> dict[str, Any]:
    """What makes a server write ``{"answer": OPTION}`` and nothing else, where it can."""
    answer = {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": list(options)}},
        "required": ["answer"],
        "additionalProperties": False,
    }
    json_schema = {"name": "answer", "strict": True, "schema": answer}
    return {"response_format": {"type": "json_schema", "json_schema": json_schema}}


def understand(body: str, options: Sequence[str]) -> Answer:
    """A chat completion's body as an answer."""
    try:
        choice = _Completion.model_validate_json(body).choices[0]
    except ValidationError:
        return Answer("unparsable", reason="no chat completion", reply=body[:KEPT_REPLY])
    reply, refusal = choice.message.content or "", choice.message.refusal or ""
    kept = (refusal or reply)[:KEPT_REPLY]
    if refusal or choice.finish_reason == "content_filter" or is_refusal(reply):
        return Answer("refused", reason="the model refused", reply=kept)
    if not options:
        return Answer("ok" if reply else "unparsable", () if reply else None, reply=kept)
    chosen = parse_option(reply, options)
    if chosen is None:
        return Answer("unparsable", reason="the reply names no single option", reply=kept)
    positions = choice.logprobs.content if choice.logprobs else None
    content = [position.model_dump() for position in positions or []]
    return Answer("ok", distribution(content, options, chosen), reply=kept)
