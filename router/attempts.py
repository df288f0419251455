"""Which model to try next, when, and for how long: the attempt policy, a pure generator.

It proposes an `Attempt`, is sent the `Outcome` if that failed, and proposes another or raises the failure with
which the request ends. Whoever drives it stops it at the first token: after that there are no attempts.

    policy = attempts(models, limits, breakers=..., rng=..., started=..., now=...)
    attempt = next(policy)
    while True:
        (sleep attempt.pause_s, call attempt.model; return if it answers)
        attempt = policy.send(Outcome(failure=failure, now=now))

The non-obvious decision: the breakers are asked last, just before an attempt is proposed, and for the time at
which it will begin, because to be allowed may mean to be the one probe of a model that is resting.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from typing import NoReturn, Protocol

from msgspec import Struct

from contracts.errors import BreakerOpen, DeadlineExceeded, LimitReached, UpstreamFailure, UpstreamRejected

LEAST_S = 0.05
"""With less time left than this, nothing is attempted."""


class AttemptLimits(Protocol):
    """What `router.config.schema.Attempts` says."""

    @property
    def deadline_seconds(self) -> float: ...
    @property
    def attempt_seconds(self) -> float: ...
    @property
    def stall_seconds(self) -> float: ...
    @property
    def retries(self) -> int: ...
    @property
    def backoff_seconds(self) -> float: ...
    @property
    def backoff_max_seconds(self) -> float: ...


class BreakerView(Protocol):
    """What the policy asks of the breakers."""

    def allows(self, model: str, now: float) -> bool: ...
    def rests_until(self, model: str, now: float) -> float: ...


class Attempt(Struct, frozen=True, kw_only=True):
    """Call `model` after `pause_s` seconds, and give it `first_byte_s` to answer or to send its first token."""

    model: str
    first_byte_s: float
    pause_s: float = 0.0


class Outcome(Struct, frozen=True, kw_only=True):
    """How an attempt ended that did not end the request, and when.

    `failure` None: there is an answer, but a better model is to be asked. LimitReached: a budget of this model
    alone is used up, so it was not called.
    """

    failure: UpstreamFailure | LimitReached | None
    now: float


def attempts(
    models: Sequence[str],
    limits: AttemptLimits,
    *,
    breakers: BreakerView,
    rng: random.Random,
    started: float,
    now: float,
) -> Generator[Attempt, Outcome, NoReturn]:
    """Try `models` in order, each up to `limits.retries` times more, until the deadline after `started`.

    - A failure that is not retryable moves on to the next model; UpstreamRejected ends everything.
    - Before a retry there is a pause: exponential, with full jitter (uniform from 0 to
      `backoff_seconds * 2**retry`, bounded). An upstream's Retry-After comes on top, unless a later model can be
      tried right now: then that one goes first. A pause for which the deadline leaves no time is not begun.
    - Models whose breaker is open are passed over.
    - An answer that was not good enough moves on to the next model too, and so does a used-up budget.

    Raises the last failure when all have failed, BreakerOpen when none could be tried, and DeadlineExceeded,
    from the last failure, when the time is up. Times in seconds on the clock of `started`.
    """
    ends = started + limits.deadline_seconds
    last: UpstreamFailure | LimitReached | None = None
    for position, model in enumerate(models, start=1):
        pause = 0.0
        for retry in range(limits.retries + 1):
            begins = now + pause
            if ends - begins < LEAST_S or not breakers.allows(model, begins):
                break
            outcome = yield Attempt(
                model=model, first_byte_s=min(limits.attempt_seconds, ends - begins), pause_s=pause
            )
            now = outcome.now
            if outcome.failure is None:
                break
            last = outcome.failure
            if isinstance(last, UpstreamRejected):
                raise last
            if isinstance(last, LimitReached) or not last.retryable:
                break
            pause = _backoff(limits, retry, rng)
            if last.retry_after_s is not None:
                if _any_ready(models[position:], breakers, now):
                    break
                pause += last.retry_after_s
    if ends - now < LEAST_S:
        raise DeadlineExceeded("No model answered within this route's deadline.") from last
    raise last or _all_resting(models, breakers, now)


def _backoff(limits: AttemptLimits, retry: int, rng: random.Random) -> float:
    """Full jitter. https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/"""
    return rng.uniform(0.0, min(limits.backoff_max_seconds, limits.backoff_seconds * 2**retry))


def _any_ready(models: Sequence[str], breakers: BreakerView, now: float) -> bool:
    return any(breakers.rests_until(model, now) <= now for model in models)


def _all_resting(models: Sequence[str], breakers: BreakerView, now: float) -> BreakerOpen:
    soonest = min(breakers.rests_until(model, now) for model in models)
    return BreakerOpen(
        "Every model that could answer has failed too often just now and is left alone for a while.",
        retry_after_s=max(0.0, soonest - now),
    )
