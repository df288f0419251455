"""Leaves a model alone for a while when it keeps failing, or when it says when to come back. Time is passed in.

    closed ── `failures` in a row ──> open ── rest is over ──> half-open ── its one probe answers ──> closed
      │                                ^                          │
      └── Retry-After: resting ─> closed └── the probe fails: rests twice as long ─┘

The non-obvious decision: a rest that the upstream asked for (429 or 503 with Retry-After) counts as no failure.
It lives and knows when it will answer again, so everyone may come back then, not just one probe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

from contracts.errors import RateLimited, ServerFault, UpstreamFailure, WeirError

BreakerState = Literal["closed", "open", "half-open"]


class BreakerLimits(Protocol):
    """What `router.config.schema.Breaker` says."""

    @property
    def failures(self) -> int: ...
    @property
    def rest_seconds(self) -> float: ...
    @property
    def rest_max_seconds(self) -> float: ...


class Breaker:
    """The breaker of one model. `now` is in seconds on any clock that never goes back, always the same one."""

    __slots__ = ("_asked_until", "_failures", "_limits", "_probed_at", "_trips", "_until")

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._failures = 0
        self._trips = 0
        """How often it has opened since it was last closed."""
        self._until = -math.inf
        self._asked_until = -math.inf
        """Until when the upstream has asked to be left alone."""
        self._probed_at: float | None = None

    def state(self, now: float) -> BreakerState:
        if self._resting(now):
            return "open"
        return "half-open" if self._trips else "closed"

    def allows(self, now: float) -> bool:
        """Whether the model may be called at `now`. In the half-open state the caller it allows is the probe."""
        if self._resting(now) or self._probing(now):
            return False
        if self._trips:
            self._probed_at = now
        return True

    def rests_until(self, now: float) -> float:
        """When the model may be called again: `now` where it may be, a first rest from now under a probe."""
        if self._probing(now):
            return now + self._limits.rest_seconds
        return max(now, self._until, self._asked_until)

    def record_success(self) -> None:
        self._failures = 0
        self._trips = 0
        self._until = -math.inf
        self._probed_at = None

    def record_failure(self, failure: WeirError, now: float) -> None:
        """Count `failure` if it is the upstream's. One of a call begun before it opened prolongs no rest."""
        if not isinstance(failure, UpstreamFailure) or not failure.blames_upstream:
            return
        if isinstance(failure, RateLimited | ServerFault) and failure.retry_after_s is not None:
            self._asked_until = now + min(failure.retry_after_s, self._limits.rest_max_seconds)
            self._probed_at = None
            return
        if now < self._until:
            return
        self._failures += 1
        if self._trips or self._failures >= self._limits.failures:
            self._trips += 1
            self._until = now + self._rest()
            self._probed_at = None

    @contextmanager
    def watch(self, clock: Callable[[], float], *, whole: bool = True) -> Iterator[None]:
        """Record how the block ends: in an answer, in a failure, or in something that says nothing of the model.

        After the last (cancelled, or the request's own fault) a probe's place is free for another. So it is
        after a block that is not the `whole` call: a stream that has begun is no success yet, or a model whose
        streams always break off would never be left alone.
        """
        probe = self._probed_at
        try:
            yield
        except BaseException as error:
            if isinstance(error, UpstreamFailure):
                self.record_failure(error, clock())
            if self._probed_at == probe:
                self._probed_at = None
            raise
        if whole:
            self.record_success()
        elif self._probed_at == probe:
            self._probed_at = None

    def _resting(self, now: float) -> bool:
        return now < max(self._until, self._asked_until)

    def _probing(self, now: float) -> bool:
        """Whether a probe is under way. One not heard of for as long as the longest rest is taken for lost."""
        return self._probed_at is not None and now - self._probed_at < self._limits.rest_max_seconds

    def _rest(self) -> float:
        doubled = self._limits.rest_seconds * 2.0 ** min(self._trips - 1, 64)
        return min(doubled, self._limits.rest_max_seconds)


class Breakers:
    """One breaker for each model, by its name."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._breakers: dict[str, Breaker] = {}

    def of(self, model: str) -> Breaker:
        breaker = self._breakers.get(model)
        if breaker is None:
            breaker = self._breakers[model] = Breaker(self._limits)
        return breaker

    def allows(self, model: str, now: float) -> bool:
        return self.of(model).allows(now)

    def rests_until(self, model: str, now: float) -> float:
        return self.of(model).rests_until(now)

    def resting(self, now: float) -> frozenset[str]:
        """Models that would not be tried now."""
        return frozenset(model for model, breaker in self._breakers.items() if breaker.rests_until(now) > now)

    def states(self, now: float) -> dict[str, BreakerState]:
        """The state of every model that has been called."""
        return {model: breaker.state(now) for model, breaker in self._breakers.items()}
