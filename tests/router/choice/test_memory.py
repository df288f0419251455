"""What a route remembers of its own traffic: how slow its models are, how long their answers, what is owed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import AttemptRecord, UsageEvent
from contracts.usage import TokenUsage, UsageSource
from router.choice.memory import RouteMemory


def event(latency_ms: float = 100.0, model: str = "small", **more: Any) -> UsageEvent:
    values: dict[str, Any] = {
        "request_id": "r",
        "at": datetime(2026, 11, 5, tzinfo=UTC),
        "tenant": "acme",
        "key_id": "key_1",
        "route": "support",
        "endpoint": "chat/completions",
        "requested_model": "support",
        "model": model,
        "usage": TokenUsage(prompt=10, completion=5),
        "latency_ms": latency_ms,
    }
    return UsageEvent(**(values | more))


def tried(model: str, started_ms: float, error: str = "") -> AttemptRecord:
    return AttemptRecord(model=model, upstream="u", started_ms=started_ms, took_ms=1.0, error=error)


def test_a_percentile_is_known_from_the_twentieth_answer_on() -> None:
    memory = RouteMemory()
    for number in range(19):
        memory.settled(event(float(number)))
    assert memory.p95_ms("small") is None
    memory.settled(event(19.0))
    assert memory.p95_ms("small") == 18.0
    assert memory.p95_ms("another") is None


def test_it_follows_the_latest_answers() -> None:
    memory = RouteMemory()
    for _ in range(300):
        memory.settled(event(10.0))
    assert memory.p95_ms("small") == 10.0
    for _ in range(300):
        memory.settled(event(500.0))
    assert memory.p95_ms("small") == 500.0


def test_of_an_answer_that_came_after_failures_only_its_own_time_counts() -> None:
    memory = RouteMemory()
    attempts = (tried("large", 0.0, "upstream_slow"), tried("small", 900.0))
    for _ in range(20):
        memory.settled(event(1000.0, attempts=attempts))
    assert memory.p95_ms("small") == pytest.approx(100.0)
    assert memory.p95_ms("large") is None


def test_of_one_that_came_after_a_doubted_one_too() -> None:
    memory = RouteMemory()
    for _ in range(20):
        memory.settled(event(1000.0, "large", attempts=(tried("small", 0.0), tried("large", 300.0))))
    assert memory.p95_ms("large") == pytest.approx(700.0)
    assert memory.p95_ms("small") is None


def test_the_length_of_answers_is_a_running_mean() -> None:
    memory = RouteMemory()
    assert memory.answer_tokens("small") == 256
    memory.settled(event(usage=TokenUsage(completion=1000)))
    assert memory.answer_tokens("small") == 1000
    for _ in range(500):
        memory.settled(event(usage=TokenUsage(completion=100)))
    assert memory.answer_tokens("small") == pytest.approx(100, abs=1)
    assert memory.answer_tokens("large") == 256


@pytest.mark.parametrize("source", ["cache", "none"])
def test_what_no_model_wrote_just_now_says_nothing(source: UsageSource) -> None:
    memory = RouteMemory()
    for _ in range(30):
        memory.settled(event(usage=TokenUsage(completion=9, source=source)))
    assert (memory.p95_ms("small"), memory.answer_tokens("small")) == (None, 256)


def test_nor_does_what_broke_off() -> None:
    memory = RouteMemory()
    for _ in range(30):
        memory.settled(event(outcome="cut"))
        memory.settled(event(outcome="failed", model=""))
        memory.settled(event(model=""))
    assert (memory.p95_ms("small"), memory.answer_tokens("small"), memory.p95_ms("")) == (None, 256, None)


@given(st.lists(st.floats(0, 1e6), min_size=20, max_size=300))
def test_the_percentile_is_one_of_the_latencies_seen(latencies: list[float]) -> None:
    memory = RouteMemory()
    for latency in latencies:
        memory.settled(event(latency))
        known = memory.p95_ms("small")
        assert known is None or known in latencies
    assert memory.p95_ms("small") is not None
