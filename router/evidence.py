"""What a client is told about how its answer came to be: headers with it, and one page afterwards."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from msgspec import to_builtins

from contracts.money import plain
from contracts.records import AttemptRecord, Candidate, Decision, Retrieval, UsageEvent
from router.trail import Trail

_NORMAL_95 = 1.96
"""Standard errors to either side."""


def headers_of(trail: Trail, *, with_cost: bool = True) -> dict[str, str]:
    """The `x-weir-*` headers. A stream's cost is known only after them, so it is left out there."""
    headers = {
        "x-weir-request-id": trail.request_id,
        "x-weir-route": trail.route,
        "x-weir-model": trail.model,
        "x-weir-cache": trail.verdict.kind,
        "x-weir-intent": trail.decision.intent if trail.decision else "unknown",
    }
    if trail.verdict.kind == "semantic" and not trail.verdict.foreign:
        headers["x-weir-cache-entry"] = trail.verdict.entry_id
        headers["x-weir-cache-similarity"] = f"{trail.verdict.similarity:.4f}"
    if trail.degraded:
        headers["x-weir-degraded"] = ", ".join(trail.degraded)
    if trail.prompt_version:
        headers["x-weir-prompt"] = trail.prompt_version
    if trail.retrieved:
        headers["x-weir-retrieval"] = trail.retrieved
        if trail.retrieval is not None:
            headers["x-weir-passages"] = str(len(trail.retrieval.passages))
    if with_cost:
        headers["x-weir-cost"] = plain(trail.cost)
    return headers


class RecentDecisions:
    """The last `most` usage events of this process, by request id."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._events: OrderedDict[str, UsageEvent] = OrderedDict()

    def add(self, event: UsageEvent) -> None:
        self._events[event.request_id] = event
        while len(self._events) > self.most:
            self._events.popitem(last=False)

    def find(self, request_id: str) -> UsageEvent | None:
        return self._events.get(request_id)


def explain(event: UsageEvent) -> dict[str, Any]:
    """One request in full: what `GET /v1/decisions/{request_id}` answers. Money as exact strings, in dollars."""
    usage = event.usage
    return {
        "object": "weir.decision",
        "request_id": event.request_id,
        "at": event.at.isoformat(),
        "tenant": event.tenant,
        "route": event.route,
        "requested_model": event.requested_model,
        "endpoint": event.endpoint,
        "stream": event.stream,
        "purpose": event.purpose,
        "outcome": event.outcome,
        "status": event.status,
        "error": event.error or None,
        "model": event.model or None,
        "upstream": event.upstream or None,
        "cache": {
            "verdict": event.verdict.kind,
            "reason": event.verdict.reason or None,
            "entry_id": None if event.verdict.foreign else event.verdict.entry_id or None,
            "age_s": round(event.verdict.age_s, 3),
            "similarity": None if event.verdict.foreign else event.verdict.similarity,
            "score": None if event.verdict.foreign else event.verdict.score,
            "audited": event.verdict.audited,
        },
        "decision": explain_decision(event.decision) if event.decision is not None else None,
        "retrieval": _retrieval(event.retrieval) if event.retrieval is not None else None,
        "attempts": [_attempt(attempt) for attempt in event.attempts],
        "usage": {
            "prompt_tokens": usage.prompt,
            "completion_tokens": usage.completion,
            "cached_tokens": usage.cached,
            "reasoning_tokens": usage.reasoning,
            "source": usage.source,
            "method": usage.method or None,
            "tier": usage.tier or None,
            "raw": dict(usage.raw) if usage.raw is not None else None,
        },
        "cost_usd": plain(event.cost),
        "saved_usd": plain(event.saved),
        "priced_by": event.priced_by or None,
        "latency_ms": event.latency_ms,
        "first_token_ms": event.first_token_ms,
        "hung_up": event.hung_up,
        "versions": {
            "prompt": event.prompt_version,
            "policy": event.policy_version,
            "corpus": event.corpus_version,
        },
        "tags": dict(event.tags),
    }


def explain_decision(decision: Decision) -> dict[str, Any]:
    """What was chosen and why: predictions with their 95 % intervals, checks, and what would have changed it."""
    told: dict[str, Any] = to_builtins(decision)
    for shown, candidate in zip(told["candidates"], decision.candidates, strict=True):
        shown["cost"] = plain(candidate.cost) if candidate.cost is not None else None
        shown["interval"] = _interval(candidate)
    return told


def _interval(candidate: Candidate) -> list[float] | None:
    if candidate.quality is None or candidate.deviation is None:
        return None
    reach = _NORMAL_95 * candidate.deviation
    return [round(max(0.0, candidate.quality - reach), 4), round(min(1.0, candidate.quality + reach), 4)]


def _retrieval(retrieval: Retrieval) -> dict[str, Any]:
    """Which passages a model was given, by file and place; no text of them."""
    told: dict[str, Any] = to_builtins(retrieval)
    del told["saved"]
    return {**told, "saved_usd": plain(retrieval.saved), "degraded": retrieval.degraded or None}


def _attempt(attempt: AttemptRecord) -> dict[str, Any]:
    """Without what is for the log alone; `usage` and `cost` where an answer was paid for and not delivered."""
    told: dict[str, Any] = to_builtins(attempt)
    del told["detail"], told["usage"]
    told["cost"] = plain(attempt.cost) if attempt.cost is not None else None
    if attempt.usage is not None:
        told["prompt_tokens"], told["completion_tokens"] = attempt.usage.prompt, attempt.usage.completion
    return told
