"""What is known of one request so far, and in the end its usage event.

Every step of the pipeline writes what it did here; `event` reads it once, when the request is settled.
"""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from contracts.errors import Abandoned, UpstreamFailure, WeirError
from contracts.money import ZERO
from contracts.records import (
    Arm,
    AttemptRecord,
    Decision,
    Endpoint,
    EventOutcome,
    Key,
    Purpose,
    Retrieval,
    UsageEvent,
    Verdict,
)
from contracts.request import ModelRequest
from contracts.usage import TokenUsage

NO_USAGE = TokenUsage(source="none")
_MAX_TAGS = 16
_REQUEST_ID = re.compile(r"req_[0-9a-f]{32}")


def new_request_id() -> str:
    """Sorts by time: 12 hex digits of milliseconds since the epoch, then 20 random ones."""
    return f"req_{time.time_ns() // 1_000_000:012x}{random.getrandbits(80):020x}"


def is_request_id(text: str) -> bool:
    return _REQUEST_ID.fullmatch(text) is not None


class Trail:
    __slots__ = (
        "_lost",
        "_undelivered",
        "arm",
        "arrived",
        "at",
        "attempts",
        "avoided",
        "bills",
        "conversation",
        "corpus_version",
        "cost",
        "decision",
        "degraded",
        "endpoint",
        "error",
        "first_token_ms",
        "hung_up",
        "key_id",
        "model",
        "outcome",
        "policy_version",
        "priced_by",
        "prompt_version",
        "purpose",
        "request_id",
        "requested_model",
        "retrieval",
        "retrieved",
        "route",
        "status",
        "stream",
        "tags",
        "tenant",
        "upstream",
        "usage",
        "verdict",
    )

    def __init__(
        self,
        request_id: str,
        arrived: float,
        key: Key,
        route: str,
        request: ModelRequest,
        purpose: Purpose = "serve",
    ) -> None:
        self.request_id = request_id
        self.arrived = arrived
        self.at = datetime.now(UTC)
        self.tenant = key.tenant
        self.key_id = key.id
        self.route = route
        self.endpoint: Endpoint = request.endpoint
        self.requested_model = request.model
        self.stream = request.stream
        self.purpose: Purpose = purpose
        self.tags = _tags(request)
        self.verdict = Verdict(kind="bypass", reason="not looked up")
        self.decision: Decision | None = None
        self.attempts: list[AttemptRecord] = []
        self.degraded: list[str] = []
        self.model = ""
        self.upstream = ""
        self.usage = NO_USAGE
        self.cost = ZERO
        self.bills: list[tuple[str, TokenUsage, Decimal]] = []
        """Each answer that was paid for, delivered or not: its model, its usage, its cost."""
        self._undelivered = ZERO
        self._lost: tuple[TokenUsage, Decimal] | None = None
        """What came of an attempt that has not ended yet."""
        self.avoided = ZERO
        self.conversation = ""
        self.arm: Arm = ""
        self.priced_by = ""
        self.outcome: EventOutcome = "answered"
        self.error = ""
        self.status = 200
        self.first_token_ms: float | None = None
        self.hung_up = False
        self.prompt_version = ""
        self.policy_version = ""
        self.corpus_version = ""
        self.retrieval: Retrieval | None = None
        self.retrieved = ""
        """What the client is told of it: `found`, `nothing` or `unavailable`; empty where nothing was looked up."""

    def elapsed_ms(self) -> float:
        return (time.perf_counter() - self.arrived) * 1000

    def attempt(self, model: str, upstream: str, began_ms: float, failure: WeirError | None) -> None:
        usage, cost = self._lost or (None, None)
        self._lost = None
        self.attempts.append(
            AttemptRecord(
                model=model,
                upstream=upstream,
                started_ms=round(began_ms, 3),
                took_ms=round(self.elapsed_ms() - began_ms, 3),
                error=failure.code if failure else "",
                status=failure.status if isinstance(failure, UpstreamFailure) else None,
                detail=failure.detail if isinstance(failure, UpstreamFailure) else "",
                usage=usage,
                cost=cost,
            )
        )

    def undelivered(self, model: str, usage: TokenUsage, cost: Decimal) -> None:
        """`model` answered, but the client gets a better answer: it is paid for all the same."""
        place = next(
            place for place, attempt in enumerate(self.attempts) if attempt.model == model and not attempt.error
        )
        self.attempts[place] = replace(self.attempts[place], usage=usage, cost=cost)
        self._pay(model, usage, cost)

    def lost(self, model: str, usage: TokenUsage, cost: Decimal) -> None:
        """Part of an answer of `model` came and was paid for, and nobody got it; its attempt ends now."""
        self._pay(model, usage, cost)
        self._lost = usage, cost

    def _pay(self, model: str, usage: TokenUsage, cost: Decimal) -> None:
        self.bills.append((model, usage, cost))
        self._undelivered += cost

    def spent(self, usage: TokenUsage, cost: Decimal, priced_by: str) -> None:
        self.bills.append((self.model, usage, cost))
        self.usage = usage
        self.cost = cost + self._undelivered
        self.priced_by = priced_by

    def failed(self, error: BaseException, status: int) -> None:
        """The client had nothing of an answer. A cancellation means that nobody waited for one any more."""
        self.outcome = "failed"
        self.cost = max(self.cost, self._undelivered)
        own = WeirError if isinstance(error, Exception) else Abandoned
        self.error = error.code if isinstance(error, WeirError) else own.code
        self.status = status

    def cut(self, failure: WeirError) -> None:
        """The client had part of the answer, with status 200, before it broke off."""
        self.outcome = "cut"
        self.error = failure.code

    def event(self) -> UsageEvent:
        return UsageEvent(
            request_id=self.request_id,
            at=self.at,
            tenant=self.tenant,
            key_id=self.key_id,
            route=self.route,
            endpoint=self.endpoint,
            requested_model=self.requested_model,
            model=self.model,
            upstream=self.upstream,
            stream=self.stream,
            purpose=self.purpose,
            outcome=self.outcome,
            error=self.error,
            status=self.status,
            usage=self.usage,
            cost=self.cost,
            saved=self.verdict.saved,
            avoided=self.avoided,
            priced_by=self.priced_by,
            verdict=self.verdict,
            decision=self.decision,
            attempts=tuple(self.attempts),
            latency_ms=round(self.elapsed_ms(), 3),
            first_token_ms=self.first_token_ms,
            hung_up=self.hung_up,
            prompt_version=self.prompt_version,
            policy_version=self.policy_version,
            corpus_version=self.corpus_version,
            retrieval=self.retrieval,
            conversation=self.conversation,
            arm=self.arm,
            tags=self.tags,
        )


def _tags(request: ModelRequest) -> dict[str, str]:
    """The text entries of OpenAI's `metadata`, which clients use to say what a request was for."""
    metadata = request.raw.get("metadata")
    if not metadata:
        return {}
    texts = {name[:64]: value[:512] for name, value in metadata.items() if isinstance(value, str)}
    return dict(list(texts.items())[:_MAX_TAGS])
