"""A whole chat answer, as any OpenAI-compatible server sends it, read as an `Answer`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import orjson
from msgspec.structs import replace

from contracts.usage import TokenUsage, reported_usage
from evals.records import UPSTREAM, Answer, Citation, ToolCall
from evals.targets.port import TargetFailure
from evals.targets.refusals import failure_of
from router.replay import objects_in
from router.upstreams.failures import error_object

EVIDENCE = "x-weir-"
"""What the headers begin with in which a Weir tells how an answer came to be."""
_ELSEWHERE = frozenset({"cost", "model"})
"""Those that have a field of their own."""

_NUMBER = re.compile(r"\d+")

Bill = Callable[[str, TokenUsage], Decimal | None]
"""What an answer of a model with this usage costs; None where nobody knows."""


def request_of(body: Mapping[str, Any], model: str) -> dict[str, Any]:
    """What is sent. Answers come whole: nothing in an eval reads a stream."""
    return {name: value for name, value in body.items() if name not in ("stream", "stream_options")} | {
        "model": model
    }


def answer_in(
    body: bytes, headers: Mapping[str, str], *, model: str, bill: Bill, latency_ms: float | None
) -> Answer:
    """Raises TargetFailure: `malformed`, or what an error in place of an answer says.

    Names in `headers` are lower case, or looked up whatever their case; `model` is the one that was asked for.
    """
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _malformed(_instead_of_json(body.strip())) from None
    error = error_object(body)
    if error is not None:  # some send it with status 200, and the real one as its code
        code = error.get("code")
        raise failure_of(code if type(code) is int and 400 <= code < 600 else 502, headers, body)
    choice = next(objects_in(data.get("choices")), None) if isinstance(data, dict) else None
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        raise _malformed("JSON without a message")
    said = data.get("model")
    answered = headers.get(f"{EVIDENCE}model") or (said if isinstance(said, str) else "") or model
    usage = reported_usage(data.get("usage"))
    if usage is not None and isinstance(tier := data.get("service_tier"), str):
        usage = replace(usage, tier=tier)
    told = _amount(headers.get(f"{EVIDENCE}cost"))
    finish = choice.get("finish_reason")
    return Answer(
        text=_text(message.get("content")) or _text(message.get("refusal")),
        tool_calls=tuple(_calls(message)),
        citations=tuple(_citations(message)),
        finish=finish if isinstance(finish, str) else "",
        model=answered,
        prompt_tokens=usage.prompt if usage else 0,
        completion_tokens=usage.completion if usage else 0,
        cost=told if told is not None or usage is None else bill(answered, usage),
        latency_ms=None if latency_ms is None else round(latency_ms, 3),
        evidence=dict(_evidence(headers, said, answered)),
    )


def _malformed(what: str) -> TargetFailure:
    return TargetFailure("malformed", f"The target sent {what}.", retryable=True)


def _instead_of_json(body: bytes) -> str:
    if not body:
        return "an empty body"
    if body.startswith(b"data:"):
        return "a stream, which was not asked for: only whole answers are read"
    if body.startswith(b"<"):
        return "a page and not JSON; the base URL of an API ends as in http://HOST/v1"
    return "something that is not JSON"


def _text(content: object) -> str:
    """Of a message's content or refusal: a text, or parts of which some have one."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") or part.get("refusal") for part in objects_in(content)]
    return "".join(text for text in texts if isinstance(text, str))


def _calls(message: Mapping[str, Any]) -> Iterator[ToolCall]:
    """Also the single call of older servers."""
    functions = [call.get("function") for call in objects_in(message.get("tool_calls"))]
    for function in objects_in([*functions, message.get("function_call")]):
        arguments = function.get("arguments", "")
        written = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        yield ToolCall(name=str(function.get("name", "")), arguments=written)


def _citations(message: Mapping[str, Any]) -> Iterator[Citation]:
    """Each mark once, in the order of the answer. A Weir numbers what it cites; others have a mark of their own."""
    seen = set()
    for annotation in objects_in(message.get("annotations")):
        cited = annotation.get("file_citation")
        if not isinstance(cited, dict):
            continue
        text = str(annotation.get("text", ""))
        number = cited.get("number")
        found = _NUMBER.findall(text)
        mark = str(number) if type(number) is int else found[0] if len(found) == 1 else text.strip("[]【】 ")
        if mark not in seen:
            seen.add(mark)
            told = {name: str(cited.get(name) or "") for name in ("filename", "file_id", "quote")}
            yield Citation(mark=mark, filename=told["filename"], file_id=told["file_id"], text=told["quote"])


def _evidence(headers: Mapping[str, str], said: object, answered: str) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        told = name.lower().removeprefix(EVIDENCE)
        if told != name.lower() and told not in _ELSEWHERE:
            yield told, value
    if isinstance(said, str) and said not in ("", answered):
        yield UPSTREAM, said


def _amount(text: str | None) -> Decimal | None:
    try:
        amount = Decimal(text or "")
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
