"""The breaker's three states, with time passed in."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import (
    DeadlineExceeded,
    RateLimited,
    ServerFault,
    UpstreamFailure,
    UpstreamRejected,
    WeirError,
)
from router.breaker import Breaker, Breakers
from router.config import schema

LIMITS = schema.Breaker(failures=3, rest_seconds=10, rest_max_seconds=35)
FAULT = ServerFault("down")


def tripped(now: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        breaker.record_failure(FAULT, now)
    return breaker


def test_it_opens_at_the_third_failure_in_a_row() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(2):
        breaker.record_failure(FAULT, 0.0)
    assert breaker.state(0.0) == "closed"
    breaker.record_success()
    for _ in range(2):
        breaker.record_failure(FAULT, 1.0)
    assert breaker.allows(1.0)
    breaker.record_failure(FAULT, 2.0)
    assert breaker.state(2.0) == "open"
    assert not breaker.allows(11.9)
    assert breaker.rests_until(2.0) == 12.0


def test_after_the_rest_exactly_one_may_try() -> None:
    breaker = tripped()
    assert breaker.state(10.0) == "half-open"
    assert breaker.allows(10.0)
    assert not breaker.allows(10.0)
    assert not breaker.allows(12.0)
    assert breaker.rests_until(12.0) == 22.0
    breaker.record_success()
    assert breaker.state(12.0) == "closed"
    assert breaker.allows(12.0)
    assert breaker.allows(12.0)


def test_each_failed_try_doubles_the_rest_up_to_its_bound() -> None:
    breaker = tripped()
    now = 0.0
    rests = []
    for _ in range(4):
        rests.append(breaker.rests_until(now) - now)
        now = breaker.rests_until(now)
        assert breaker.allows(now)
        breaker.record_failure(FAULT, now)
    assert rests == [10, 20, 35, 35]
    now = breaker.rests_until(now)
    assert breaker.allows(now)
    breaker.record_success()
    for _ in range(3):
        breaker.record_failure(FAULT, now)
    assert breaker.rests_until(now) - now == 10


def test_failures_of_calls_that_began_before_it_opened_prolong_nothing() -> None:
    breaker = tripped()
    for moment in range(9):
        breaker.record_failure(FAULT, float(moment))
    assert breaker.rests_until(9.0) == 10.0
    assert breaker.allows(10.0)


@pytest.mark.parametrize("failure", [UpstreamRejected("bad request", status=400), DeadlineExceeded("late")])
def test_what_is_not_the_upstreams_fault_is_not_counted(failure: WeirError) -> None:
    breaker = Breaker(LIMITS)
    for _ in range(10):
        breaker.record_failure(failure, 0.0)
    assert breaker.state(0.0) == "closed"


@pytest.mark.parametrize("kind", [RateLimited, ServerFault])
def test_retry_after_rests_it_so_long_and_then_lets_everyone_back(kind: type[UpstreamFailure]) -> None:
    breaker = Breaker(LIMITS)
    for _ in range(5):
        breaker.record_failure(kind("later", retry_after_s=4), 1.0)
    breaker.record_success()
    assert breaker.state(1.0) == "open"
    assert not breaker.allows(4.9)
    assert breaker.rests_until(2.0) == 5.0
    assert breaker.allows(5.0)
    assert breaker.allows(5.0)


def test_an_absurd_retry_after_is_bounded() -> None:
    breaker = Breaker(LIMITS)
    breaker.record_failure(RateLimited("later", retry_after_s=86_400), 0.0)
    assert breaker.rests_until(0.0) == 35.0


def test_a_rate_limit_without_retry_after_is_a_failure_like_any() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        breaker.record_failure(RateLimited("later"), 0.0)
    assert breaker.state(0.0) == "open"


def test_watching_records_answers_and_failures() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        with pytest.raises(ServerFault), breaker.watch(lambda: 5.0):
            raise FAULT
    assert breaker.rests_until(5.0) == 15.0
    assert breaker.allows(15.0)
    with breaker.watch(lambda: 16.0):
        pass
    assert breaker.state(16.0) == "closed"


def test_a_stream_that_has_begun_is_no_success_yet() -> None:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        with breaker.watch(lambda: 5.0, whole=False):
            pass
        breaker.record_failure(FAULT, 5.0)
    assert breaker.state(5.0) == "open"
    assert breaker.allows(15.0)
    with breaker.watch(lambda: 15.0, whole=False):
        pass
    assert breaker.state(15.0) == "half-open"
    assert breaker.allows(15.0), "nobody waits for the end of the probe's stream"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), UpstreamRejected("bad request"), KeyError("bug")])
def test_a_probe_that_says_nothing_frees_its_place(error: BaseException) -> None:
    breaker = tripped()
    assert breaker.allows(10.0)
    with pytest.raises(type(error)), breaker.watch(lambda: 11.0):
        assert not breaker.allows(10.5)
        raise error
    assert breaker.state(11.0) == "half-open"
    assert breaker.allows(11.0)
    assert not breaker.allows(11.0)


def test_a_cancelled_call_from_before_it_opened_does_not_free_the_probes_place() -> None:
    breaker = Breaker(LIMITS)
    with pytest.raises(asyncio.CancelledError), breaker.watch(lambda: 11.0):
        for _ in range(3):
            breaker.record_failure(FAULT, 0.0)
        assert breaker.allows(10.0)
        raise asyncio.CancelledError
    assert not breaker.allows(11.0)


def test_a_probe_that_is_never_heard_of_is_given_up() -> None:
    breaker = tripped()
    assert breaker.allows(10.0)
    assert not breaker.allows(44.9)
    assert breaker.allows(45.0)


def test_each_model_has_its_own() -> None:
    breakers = Breakers(LIMITS)
    for _ in range(3):
        breakers.of("a").record_failure(FAULT, 0.0)
    assert not breakers.allows("a", 1.0)
    assert breakers.allows("b", 1.0)
    assert breakers.rests_until("a", 1.0) == 10.0
    assert breakers.rests_until("b", 1.0) == 1.0
    assert breakers.states(1.0) == {"a": "open", "b": "closed"}


def test_those_that_rest_are_told_without_taking_a_probes_place() -> None:
    breakers = Breakers(LIMITS)
    assert breakers.resting(0.0) == frozenset()
    for _ in range(3):
        breakers.of("a").record_failure(FAULT, 0.0)
    breakers.of("b").record_failure(FAULT, 0.0)
    breakers.of("c").record_failure(RateLimited("later", retry_after_s=5), 0.0)
    assert breakers.resting(1.0) == {"a", "c"}
    assert breakers.resting(5.0) == {"a"}
    assert breakers.resting(10.0) == frozenset()
    assert breakers.resting(10.0) == frozenset()
    assert breakers.allows("a", 10.0)
    assert breakers.resting(10.0) == {"a"}, "under its probe"
    breakers.of("a").record_success()
    assert breakers.resting(10.0) == frozenset()


steps = st.tuples(
    st.sampled_from(["fault", "limited", "success", "cancel", "rejected", "ask"]), st.floats(0, 50, allow_nan=False)
)


def ending(step: str, pause: float) -> BaseException | None:
    match step:
        case "fault":
            return FAULT
        case "limited":
            return RateLimited("later", retry_after_s=pause)
        case "rejected":
            return UpstreamRejected("bad request")
        case "cancel":
            return asyncio.CancelledError()
    return None


def watched(breaker: Breaker, now: float, error: BaseException | None) -> None:
    with suppress(UpstreamFailure, asyncio.CancelledError), breaker.watch(lambda: now):
        if error is not None:
            raise error


@given(st.lists(steps, max_size=60))
def test_it_is_never_stuck_and_never_rests_longer_than_its_bound(history: list[tuple[str, float]]) -> None:
    breaker = Breaker(LIMITS)
    now = 0.0
    for step, pause in history:
        now += pause
        allowed = breaker.allows(now)
        assert breaker.rests_until(now) <= now + 35 + 1e-6
        if allowed and step != "ask":
            watched(breaker, now, ending(step, pause))
    assert breaker.allows(now + 36)
