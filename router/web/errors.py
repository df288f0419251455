"""The one map from Weir's errors to HTTP: status, OpenAI error type, and when to come back."""

from __future__ import annotations

import math
from typing import Any

from contracts import errors as e

_STATUS: dict[type[e.WeirError], int] = {
    e.InvalidRequest: 400,
    e.RequestTooLarge: 413,
    e.UnknownModel: 404,
    e.UnknownPath: 404,
    e.NotFound: 404,
    e.MethodNotAllowed: 405,
    e.RequestError: 400,
    e.KeyMissing: 401,
    e.KeyRefused: 401,
    e.DemoKeyRefused: 401,
    e.AccessDenied: 403,
    e.AccessError: 403,
    e.LimitReached: 429,
    e.BudgetSpent: 402,
    e.Unavailable: 503,
    e.SlowUpstream: 504,
    e.StreamStalled: 504,
    e.DeadlineExceeded: 504,
    e.Abandoned: 499,
    e.RateLimited: 429,
    e.UpstreamRejected: 400,
    e.BreakerOpen: 503,
    e.UpstreamFailure: 502,
    e.WeirError: 500,
}
"""The nearest class on an error's own line of descent counts."""

_TYPE = {
    402: "insufficient_quota",
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
}
_PASSED_ON = frozenset({400, 404, 413, 422})
"""An upstream's own judgement of the request, where it keeps its status."""


def status_of(error: BaseException) -> int:
    """The HTTP status of any error; 500 for one that is not Weir's, 499 for a request that was abandoned."""
    if isinstance(error, e.UpstreamRejected) and error.status in _PASSED_ON:
        return error.status
    for kind in type(error).__mro__:
        if kind in _STATUS:
            return _STATUS[kind]
    return 500 if isinstance(error, Exception) else _STATUS[e.Abandoned]


def body_of(error: BaseException) -> dict[str, Any]:
    """OpenAI's error object; `weir` in it says which budget is used up. Nothing of what is not Weir's own error."""
    if not isinstance(error, e.WeirError):
        return {
            "error": {
                "message": "Weir itself failed. The log has it under the x-weir-request-id of this reply.",
                "type": "server_error",
                "param": None,
                "code": e.WeirError.code,
            }
        }
    told: dict[str, Any] = {
        "message": error.message,
        "type": _TYPE.get(status_of(error), "server_error"),
        "param": error.param,
        "code": error.code,
    }
    if isinstance(error, e.LimitReached):
        told["weir"] = _budget(error)
    return {"error": told}


def _budget(reached: e.LimitReached) -> dict[str, str | None]:
    """What OpenAI's error object has no place for. Amounts as exact text."""
    return {
        "budget": reached.budget,
        "measure": reached.measure,
        "limit": reached.limit or None,
        "left": reached.left or None,
        "resets_at": reached.resets_at or None,
    }


def headers_of(error: BaseException) -> dict[str, str]:
    """`Retry-After` in whole seconds where the error knows it, and how to authenticate on a 401.

    Where a limit does not say when to come back, OpenAI's clients are told not to try again by themselves.
    """
    headers: dict[str, str] = {}
    if isinstance(error, e.WeirError) and error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, e.LimitReached):
        headers["x-should-retry"] = "false"
    if status_of(error) == 401:
        headers["www-authenticate"] = "Bearer"
    return headers
