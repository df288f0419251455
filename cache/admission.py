"""Which requests may be answered from the cache, and which answers may be kept. Pure; every refusal says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cache.refusals import refuse_text
from contracts.ports import CacheRules, CacheTerms
from contracts.request import ModelRequest

USUAL_TEMPERATURE = 1.0
"""What a request that names no temperature is sampled with."""

_WELCOME = CacheTerms(lookup=True, store=True)
_OWN_HEADERS = frozenset({"x-weir-cache", "x-weir-max-wrong-hits", "x-weir-cache-tags"})
_MOST_TAGS = 16
_LONGEST_TAG = 128


def terms_for(request: ModelRequest, headers: Mapping[str, str], rules: CacheRules) -> CacheTerms:
    """What the cache may do for `request`. Header names are lower case.

    `x-weir-cache: bypass` and `Cache-Control: no-store` keep it out altogether; `Cache-Control: no-cache` asks
    for a fresh answer, which is kept. `x-weir-cache: exact` wants nothing but exact hits, `x-weir-max-wrong-hits`
    a stricter bound than the route's. `x-weir-cache-tags` names what the answer will be filed under.
    """
    control = _directives(headers)
    refusal = _refuse_headers(headers, control) or _refuse_request(request, rules)
    if refusal:
        return CacheTerms(lookup=False, store=False, reason=refusal)
    fresh = "no-cache" in control
    if not fresh and not _OWN_HEADERS & headers.keys():
        return _WELCOME
    return CacheTerms(
        lookup=not fresh,
        store=True,
        reason="the client asked for a fresh answer" if fresh else "",
        exact_only="x-weir-cache" in headers,
        max_wrong_hits=_share(headers.get("x-weir-max-wrong-hits")),
        tags=_tags(headers.get("x-weir-cache-tags", "")),
    )


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
    if _share(headers.get("x-weir-max-wrong-hits")) < 0:
        return "x-weir-max-wrong-hits must be a share from 0 to 1"
    if "no-store" in control:
        return "the client asked for no cache (Cache-Control: no-store)"
    return ""


def _refuse_request(request: ModelRequest, rules: CacheRules) -> str:
    if request.endpoint == "embeddings":
        return ""
    if request.n > 1:
        return "several choices were asked for"
    temperature = USUAL_TEMPERATURE if request.temperature is None else request.temperature
    if temperature > rules.max_temperature:
        return f"temperature {temperature:g} is above this route's {rules.max_temperature:g}"
    if request.uses_tools:
        return "the request uses tools"
    return refuse_text("\n".join(request.asked), personal=rules.personal, live=rules.live)


def _share(value: str | None) -> float:
    """A header's share of one; 1 where it is absent, -1 where it is none."""
    if value is None:
        return 1.0
    try:
        share = float(value)
    except ValueError:
        return -1.0
    return share if 0 <= share <= 1 else -1.0


def _tags(value: str) -> tuple[str, ...]:
    """At most `_MOST_TAGS` of the names in a comma-separated list, each once."""
    names = dict.fromkeys(name for part in value.split(",") if (name := part.strip()[:_LONGEST_TAG]))
    return tuple(names)[:_MOST_TAGS]


def _directives(headers: Mapping[str, str]) -> Sequence[str]:
    """The directives of Cache-Control, RFC 9111 section 5.2."""
    control = headers.get("cache-control")
    return [part.strip().lower() for part in control.split(",")] if control else ()
