"""What a server says instead of an answer, as a TargetFailure. Pure: no I/O.

The non-obvious decision: what no other case would fare better with ends a run (`fatal`), so that a wrong key or a
spent budget is told once and not for each of ten thousand cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from evals.targets.port import TargetFailure
from router.upstreams.failures import MESSAGE_LIMIT, error_object, redacted, retry_after_s

_PASSING = frozenset({408, 409, 425, 429})
_NEVER = frozenset({501, 505})
"""Of the 5xx, those that say that it will not go better later."""
_SPENT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_UNKNOWN = frozenset({"model_not_found", "unknown_path", "not_found"})
_RESETS = "x-ratelimit-reset-"
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
"""As OpenAI writes times: `1s`, `6m0s`, `24h0m0s`, `120ms`."""


def failure_of(
    status: int, headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str] = (), names: Sequence[str] = ()
) -> TargetFailure:
    """Of an answer with this `status`. Names in `headers` are lower case, or looked up whatever their case.

    `secrets` are cut out of what is quoted; `names` are the models that there are, as far as that is known.
    """
    error = error_object(body) or {}
    code = next((said for said in (error.get("code"), error.get("type")) if said and isinstance(said, str)), "")
    message = _quoted(error.get("message"), secrets) or f"The target answered with HTTP status {status}."
    wait_s = waiting_s(headers) if status in (429, 503) else None
    advice = _advice(status, code, names)
    passing = status in _PASSING or (status >= 500 and status not in _NEVER)
    return TargetFailure(
        code or f"http_{status}",
        f"{message} {advice}".strip(),
        retryable=passing and not advice and headers.get("x-should-retry") != "false",
        retry_after_s=wait_s,
        slow_down=not advice and (status == 429 or (status == 503 and wait_s is not None)),
        fatal=bool(advice),
    )


def waiting_s(headers: Mapping[str, str]) -> float | None:
    """How long the server asks to wait: by Retry-After, else until the limit that is used up begins anew.

    Of several limits it is the last one; limits that have something left do not count, unless all of them do.
    """
    told = retry_after_s(headers)
    if told is not None:
        return told
    spans: dict[bool, list[float]] = {True: [], False: []}
    for name, value in headers.items():
        if name.lower().startswith(_RESETS) and (span := _span_s(value)) is not None:
            left = headers.get(f"x-ratelimit-remaining-{name[len(_RESETS) :]}", "")
            spans[left.strip() in ("0", "")].append(span)
    return max(spans[True] or spans[False], default=None)


def _advice(status: int, code: str, names: Sequence[str]) -> str:
    """What to do where no other case would fare better; empty where one may."""
    if status == 402 or code in _SPENT:
        return "Raise the budget, or wait until it begins anew; the same command then goes on from here."
    if status == 401:
        return "Give a valid key in WEIR_API_KEY or with --api-key."
    if status == 403:
        return "The key may not do this: use another one (WEIR_API_KEY or --api-key), or another target."
    if code == "model_not_found" and names:
        return f"There are: {', '.join(names)}."
    if status == 404 or code in _UNKNOWN:
        return "Name a model or route that GET /models lists, at a base URL that ends as in http://HOST/v1."
    if 300 <= status < 400 or status == 405:
        return "The base URL leads elsewhere: give the address itself, as in https://HOST/v1."
    return ""


def _quoted(message: object, secrets: Sequence[str]) -> str:
    if not isinstance(message, str):
        return ""
    text = " ".join("".join(c if c.isprintable() else " " for c in redacted(message, secrets)).split())
    return text if len(text) <= MESSAGE_LIMIT else f"{text[: MESSAGE_LIMIT - 1]}…"


def _span_s(text: str) -> float | None:
    """Seconds; a bare number is one of seconds. None where it is not a time."""
    text = text.strip()
    found = _SPAN.fullmatch(text)
    if text and found:
        hours, minutes, seconds, thousandths = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds + thousandths / 1000
    try:
        bare = float(text)
    except ValueError:
        return None
    return bare if 0 <= bare < float("inf") else None
