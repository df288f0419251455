"""Which requests may be answered from the cache, and which answers may be kept. Pure; every refusal says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.ports import CacheTerms
from contracts.request import ModelRequest

USUAL_TEMPERATURE = 1.0
"""What a request that names no temperature is sampled with."""

_WELCOME = CacheTerms(lookup=True, store=True)


def terms_for(request: ModelRequest, headers: Mapping[str, str], max_temperature: float) -> CacheTerms:
    """What the cache may do for `request`. Header names are lower case.

    `x-weir-cache: bypass` and `Cache-Control: no-store` keep it out altogether; `Cache-Control: no-cache` asks
    for a fresh answer, which is kept. `x-weir-cache: exact` wants nothing but exact hits.
    """
    control = _directives(headers)
    refusal = _refuse_headers(headers, control) or _refuse_request(request, max_temperature)
    if refusal:
        return CacheTerms(lookup=False, store=False, reason=refusal)
    if "no-cache" in control:
        return CacheTerms(lookup=False, store=True, reason="the client asked for a fresh answer")
    return _WELCOME


def refuse_answer(data: Mapping[str, Any]) -> str:
    """Why the whole answer `data` may not be kept, or "" where it may.

    Only a finished answer in words is: a choice that was cut off, filtered or calls a tool is not. Embeddings
    are kept as they are.
    """
    choices = data.get("choices")
    if choices is None and data.get("data"):
        return ""
    if not isinstance(choices, list) or not choices:
        return "the answer holds no choices"
    return next(filter(None, map(_refuse_choice, choices)), "")


def _refuse_choice(choice: object) -> str:
    if not isinstance(choice, dict):
        return "a choice is not an object"
    reason = choice.get("finish_reason")
    if reason != "stop":
        return f"the answer ended with '{reason}'" if reason else "the answer was cut off"
    if "message" not in choice:
        return "" if isinstance(choice.get("text"), str) else "a choice holds neither a message nor text"
    message = choice["message"]
    if not isinstance(message, dict):
        return "a choice holds neither a message nor text"
    return "the answer calls tools" if message.get("tool_calls") or message.get("function_call") else ""


def _refuse_headers(headers: Mapping[str, str], control: Sequence[str]) -> str:
    wish = headers.get("x-weir-cache", "exact")
    if wish != "exact":
        wish = wish.strip().lower()
        if wish == "bypass":
            return "the client asked for no cache (x-weir-cache: bypass)"
        if wish != "exact":
            return "x-weir-cache must be 'exact' or 'bypass'"
    if "no-store" in control:
        return "the client asked for no cache (Cache-Control: no-store)"
    return ""


def _refuse_request(request: ModelRequest, max_temperature: float) -> str:
    if request.endpoint == "embeddings":
        return ""
    if request.n > 1:
        return "several choices were asked for"
    temperature = USUAL_TEMPERATURE if request.temperature is None else request.temperature
    if temperature > max_temperature:
        return f"temperature {temperature:g} is above this route's {max_temperature:g}"
    if request.uses_tools:
        return "the request uses tools"
    return ""


def _directives(headers: Mapping[str, str]) -> Sequence[str]:
    """The directives of Cache-Control, RFC 9111 section 5.2."""
    control = headers.get("cache-control")
    return [part.strip().lower() for part in control.split(",")] if control else ()
