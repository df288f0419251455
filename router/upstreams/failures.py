"""What went wrong at an HTTP upstream, in the words of `contracts.errors`. Pure: no I/O.

The non-obvious decision: an answer begins with the first byte of its body, whole or streamed. What breaks after it
is a `StreamCut` or `StreamStalled`, which a client may have seen part of; what breaks before it is refused, reset
or slow.

Two audiences read a failure. `message` is for the client: it names no host, key or URL, and quotes the provider
only where the request itself was rejected, since nobody else can say what to mend. `detail` is for the log.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from contracts.errors import (
    ConnectionRefused,
    ConnectionReset,
    MalformedAnswer,
    RateLimited,
    ServerFault,
    SlowUpstream,
    StreamCut,
    StreamStalled,
    UpstreamFailure,
    UpstreamRefusedKey,
    UpstreamRejected,
)
from router.upstreams.http1 import NotConnected, NotHTTP, NotSecure

MESSAGE_LIMIT = 300
"""Most characters of a provider's message that a client gets to see."""
DETAIL_LIMIT = 1000

_KEY_STATUSES = frozenset({401, 402, 403})
"""402 is about the account behind Weir's key, so it is no more the client's to mend than 401."""
_PASSING_STATUSES = frozenset({408, 409, 425})
_SECRETS = re.compile(
    r"""(?ix)
    \b (?: bearer | basic ) \s+ [^\s"',;]{8,}
    | \b (?: sk | pk | rk | gsk | xai | hf | key ) [-_] [\w*.-]{4,}
    | \b AIza [\w-]{10,}
    | \b (?: api | access | secret ) [-_ ]? (?: key | token )
      (?: ["']? \s* [:=] \s* ["']? | \s+ provided: \s* ) [^\s"',;&]+
    """
)
_ADDRESSES = re.compile(r"(?i)\b(?:https?|wss?)://[^\s\"'<>]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")


def of_exception(error: BaseException, *, began: bool) -> UpstreamFailure:
    """The failure that a client's `error` amounts to; `began`: some of the answer's body had come."""
    detail = _bounded(f"{type(error).__name__}: {error}", DETAIL_LIMIT)
    if isinstance(error, TimeoutError):
        return _silence(began, detail)
    if isinstance(error, NotSecure):
        return ConnectionRefused("No secure connection to the model's server could be made.", detail=detail)
    if isinstance(error, NotConnected):
        return ConnectionRefused("The model's server could not be reached.", detail=detail)
    if isinstance(error, NotHTTP):
        return MalformedAnswer("The model's server did not speak HTTP.", detail=detail)
    if began:
        return StreamCut("The model's answer was cut off.", detail=detail)
    return ConnectionReset("The model's server closed the connection before it answered.", detail=detail)


def of_answer(status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str] = ()) -> UpstreamFailure:
    """The failure that an answer with this `status` reports, whatever its body looks like.

    `secrets` are Weir's own credentials at this upstream: they are cut out of everything that is quoted.
    A 2xx counts as the status its error object names, or else as a fault of the server.
    """
    error = error_object(body)
    if 200 <= status < 300 and error is not None:
        code = error.get("code")
        status = code if type(code) is int and 400 <= code < 600 else 500
    detail = _bounded(redacted(body[:4096].decode("utf-8", "replace"), secrets), DETAIL_LIMIT)
    wait_s = retry_after_s(headers)
    if status == 429:
        return RateLimited(
            "The model's server takes no more requests right now.",
            status=status,
            retry_after_s=wait_s,
            detail=detail,
        )
    if status in _KEY_STATUSES:
        return UpstreamRefusedKey("The model's server refused Weir's credentials.", status=status, detail=detail)
    if status >= 500 or status in _PASSING_STATUSES:
        return ServerFault(
            "The model's server reported a fault.", status=status, retry_after_s=wait_s, detail=detail
        )
    if status >= 400:
        return UpstreamRejected(_quoted(error, secrets), status=status, param=_param(error, secrets), detail=detail)
    return MalformedAnswer("The model's server sent no answer.", status=status, detail=detail)


def error_object(body: bytes) -> Mapping[str, Any] | None:
    """The `error` of a JSON body, as an object with a `message` even where a server sends a bare string."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    error = data.get("error") if isinstance(data, dict) else None
    if isinstance(error, dict):
        return error
    return {"message": error} if error and isinstance(error, str) else None


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """How long the server asks to wait, in seconds: `retry-after-ms`, or Retry-After in either form of RFC 9110.

    The names in `headers` are lower case, or looked up whatever their case. None where there is nothing usable.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            wait_s = float(value) * scale
        except ValueError:
            continue
        if math.isfinite(wait_s):
            return max(0.0, wait_s)
    try:
        when = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` without `secrets` and without anything that looks like a key."""
    for secret in secrets:
        text = text.replace(secret, "[redacted]")
    return _SECRETS.sub("[redacted]", text)


def _silence(began: bool, detail: str) -> UpstreamFailure:
    if began:
        return StreamStalled("The model fell silent in the middle of its answer.", detail=detail)
    return SlowUpstream("The model's server did not answer in time.", detail=detail)


def _quoted(error: Mapping[str, Any] | None, secrets: Sequence[str]) -> str:
    """What the provider says is wrong with the request, fit for a client's eyes."""
    message = error.get("message") if error else None
    if isinstance(message, str):
        quoted = _ADDRESSES.sub("[address]", redacted(message, secrets))
        words = "".join(c if c.isprintable() else " " for c in quoted).split()
        if words:
            return _bounded(" ".join(words), MESSAGE_LIMIT)
    return "The model's server rejected the request."


def _param(error: Mapping[str, Any] | None, secrets: Sequence[str]) -> str | None:
    param = error.get("param") if error else None
    return _bounded(redacted(param, secrets), 100) if isinstance(param, str) and param.isprintable() else None


def _bounded(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
