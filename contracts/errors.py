"""Everything that can go wrong, named for what the caller should do about it.

    WeirError
    ├── RequestError                    mend the request
    │   ├── InvalidRequest              the named field is wrong
    │   ├── RequestTooLarge             send less
    │   ├── UnknownModel                name a model this key may use
    │   ├── UnknownPath                 there is nothing at this address
    │   ├── MethodNotAllowed            use another HTTP method
    │   ├── StoreFull                   a store, or what a tenant has of them, is at its bound
    │   └── NotFound                    no such thing for this tenant
    ├── AccessError                     mend the key
    │   ├── KeyMissing
    │   ├── KeyRefused                  unknown or revoked
    │   ├── DemoKeyRefused              demo keys work on loopback only
    │   └── AccessDenied                a good key, not for this
    ├── LimitReached                    a limit holds for now (retry_after_s): wait, or ask for less
    │   └── BudgetSpent                 the money is spent: no waiting helps before the budget's window ends
    ├── Unavailable                     come back later (retry_after_s)
    │   ├── Overloaded                  every permit is taken
    │   ├── KeysUnavailable             the key store is down, so no key can be judged
    │   ├── BudgetUnavailable           what is left of a budget cannot be told, so nothing is spent
    │   ├── LedgerUnavailable           no event can be written, so no answer may be given
    │   ├── EncoderUnavailable          no vector in time, so nothing is compared by meaning
    │   ├── RetrievalUnavailable        documents cannot be searched, so no grounded answer can be given
    │   └── ShuttingDown
    ├── UpstreamFailure                 the upstream failed; another attempt may not
    │   ├── ConnectionRefused
    │   ├── ConnectionReset             cut before an answer began
    │   ├── SlowUpstream                no answer within the attempt's time
    │   ├── StreamStalled               began, then fell silent
    │   ├── StreamCut                   began, then ended too soon
    │   ├── RateLimited                 429 (retry_after_s when the upstream said so)
    │   ├── ServerFault                 5xx
    │   ├── MalformedAnswer             not JSON, not the shape asked for, wrong content type, or empty
    │   ├── UpstreamRefusedKey          401 or 403: Weir's own credentials
    │   ├── UpstreamRejected            another 4xx: the request itself; no other attempt is made
    │   └── BreakerOpen                 not tried: it failed too often just now
    ├── DeadlineExceeded                the route's time is up
    └── Abandoned                       the client left before its answer ended; says nothing about anyone else

`router/web/errors.py` maps each to a status and an OpenAI error body; nothing else does.
"""

from __future__ import annotations

from typing import ClassVar


class WeirError(Exception):
    """Root of the tree. `message` is written for the client and holds no secret and no provider body."""

    code: ClassVar[str] = "internal_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class RequestError(WeirError):
    code = "invalid_request"


class InvalidRequest(RequestError):
    code = "invalid_request"


class RequestTooLarge(RequestError):
    code = "request_too_large"


class UnknownModel(RequestError):
    code = "model_not_found"


class UnknownPath(RequestError):
    code = "unknown_path"


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"


class StoreFull(RequestError):
    code = "store_full"


class NotFound(RequestError):
    code = "not_found"


class AccessError(WeirError):
    code = "access_error"


class KeyMissing(AccessError):
    code = "key_missing"


class KeyRefused(AccessError):
    code = "invalid_api_key"


class DemoKeyRefused(AccessError):
    code = "demo_key_refused"


class AccessDenied(AccessError):
    code = "access_denied"


class LimitReached(WeirError):
    """`budget` names the limit, `measure` what it is on: `requests`, `tokens` or `usd`.

    `limit` and `left` are amounts of that, as text; both empty where they are not for this client to know.
    `resets_at` is a UTC time in ISO 8601, or empty.
    """

    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        budget: str,
        measure: str,
        limit: str,
        left: str,
        resets_at: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.budget = budget
        self.measure = measure
        self.limit = limit
        self.left = left
        self.resets_at = resets_at


class BudgetSpent(LimitReached):
    code = "insufficient_quota"


class Unavailable(WeirError):
    code = "unavailable"


class Overloaded(Unavailable):
    code = "overloaded"


class KeysUnavailable(Unavailable):
    code = "keys_unavailable"


class BudgetUnavailable(Unavailable):
    code = "budget_unavailable"


class LedgerUnavailable(Unavailable):
    code = "ledger_unavailable"


class EncoderUnavailable(Unavailable):
    code = "encoder_unavailable"


class RetrievalUnavailable(Unavailable):
    code = "retrieval_unavailable"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class UpstreamFailure(WeirError):
    """One attempt's failure. `status` is the upstream's HTTP status, where there was one.

    `detail` is for Weir's own log only: it may quote the provider.
    """

    code = "upstream_failed"
    retryable: ClassVar[bool] = True
    """Whether the same model may be tried again."""
    blames_upstream: ClassVar[bool] = True
    """Whether the breaker counts it."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        param: str | None = None,
        retry_after_s: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.status = status
        self.detail = detail


class ConnectionRefused(UpstreamFailure):
    code = "upstream_refused_connection"


class ConnectionReset(UpstreamFailure):
    code = "upstream_reset"


class SlowUpstream(UpstreamFailure):
    code = "upstream_slow"


class StreamStalled(UpstreamFailure):
    code = "upstream_stalled"


class StreamCut(UpstreamFailure):
    code = "upstream_cut"


class RateLimited(UpstreamFailure):
    code = "upstream_rate_limited"


class ServerFault(UpstreamFailure):
    code = "upstream_server_error"


class MalformedAnswer(UpstreamFailure):
    code = "upstream_malformed"


class UpstreamRefusedKey(UpstreamFailure):
    code = "upstream_refused_key"
    retryable = False


class UpstreamRejected(UpstreamFailure):
    code = "upstream_rejected"
    retryable = False
    blames_upstream = False


class BreakerOpen(UpstreamFailure):
    code = "upstream_resting"
    retryable = False
    blames_upstream = False


class DeadlineExceeded(WeirError):
    code = "deadline_exceeded"


class Abandoned(WeirError):
    code = "abandoned"
