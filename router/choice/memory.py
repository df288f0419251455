"""What a learned policy remembers of its own traffic: latencies, lengths of answers, what was spent. All bounded.

It outlives a reload of the configuration; each worker has its own, and averages of all of them come out the same.
"""

from __future__ import annotations

from collections import deque

from contracts.records import UsageEvent
from router.share import ShareController

_RECENT = 256
"""Answers by which a model's latency is known."""
_LEAST = 20
"""Fewer say nothing of a 95th percentile."""
_SLOWEST = 0.95
_USUAL_ANSWER = 256
"""Tokens, where nothing was seen yet."""
_WEIGHT = 0.02
"""Of the newest answer in the running mean of lengths: about the last hundred count."""


class RouteMemory:
    """Of one route. Belongs to one thread."""

    def __init__(self) -> None:
        self.controllers: dict[str, ShareController] = {}
        """By tenant, or "" where they are held together."""
        self._latencies: dict[str, deque[float]] = {}
        self._p95s: dict[str, tuple[int, float]] = {}
        self._lengths: dict[str, float] = {}
        self._seen: dict[str, int] = {}

    def settled(self, event: UsageEvent) -> None:
        """An answer has come."""
        if event.outcome != "answered" or not event.model or event.usage.source not in ("reported", "estimated"):
            return
        model = event.model
        latencies = self._latencies.setdefault(model, deque(maxlen=_RECENT))
        latencies.append(_own_latency(event))
        self._seen[model] = self._seen.get(model, 0) + 1
        length, tokens = self._lengths.get(model), event.usage.completion
        self._lengths[model] = tokens if length is None else length + _WEIGHT * (tokens - length)

    def p95_ms(self, model: str) -> float | None:
        """What the slowest answers in twenty took at least; None while few were seen."""
        latencies = self._latencies.get(model)
        if latencies is None or len(latencies) < _LEAST:
            return None
        seen = self._seen[model]
        known = self._p95s.get(model)
        if known is None or seen - known[0] >= _LEAST:
            ranked = sorted(latencies)
            known = self._p95s[model] = (seen, ranked[int(_SLOWEST * (len(ranked) - 1))])
        return known[1]

    def answer_tokens(self, model: str) -> int:
        """How long an answer of `model` usually is."""
        return round(self._lengths.get(model, _USUAL_ANSWER))


def _own_latency(event: UsageEvent) -> float:
    """Of the attempt that answered, without those that failed before it."""
    answered = next((attempt for attempt in reversed(event.attempts) if not attempt.error), None)
    return event.latency_ms - answered.started_ms if answered is not None else event.latency_ms
