"""Tokens per busy second, against loads whose speeds are known because they were made up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import UsageEvent
from contracts.usage import TokenUsage
from ledger.database import Database
from ledger.prices.throughput import NothingMeasured, Spell, Work, measure, spells, throughput
from ledger.spool import Spool
from ledger.writer import Writer

NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


def test_overlapping_requests_make_one_spell() -> None:
    work = [Work(10, 14, 1, 2), Work(0, 2, 10, 1), Work(1, 3, 20, 1), Work(11, 12, 5, 0), Work(14, 15, 3, 3)]
    assert list(spells(work)) == [Spell(3, 30, 2), Spell(5, 9, 5)]
    assert list(spells([])) == []


def one_at_a_time(prompt_speed: float, completion_speed: float, number: int = 50) -> list[Work]:
    """Requests of many shapes with pauses between, each as long as its tokens take."""
    work, clock = [], 0.0
    for index in range(number):
        prompt, completion = 100 + 997 * index % 4000, 10 + 389 * index % 700
        took = prompt / prompt_speed + completion / completion_speed
        work.append(Work(clock, clock + took, prompt, completion))
        clock += took + 1
    return work


def test_speeds_are_found_where_the_events_tell() -> None:
    found = throughput(one_at_a_time(8000, 120))
    assert found.fitted
    assert found.spells == found.events == 50
    assert found.prompt_tokens_per_second == pytest.approx(8000)
    assert found.completion_tokens_per_second == pytest.approx(120)


def test_a_server_that_never_rests_needs_a_stated_ratio() -> None:
    """Ten requests at a time, back to back: one long spell."""
    work = [Work(start, start + 10, 1000, 100) for start in range(100)]
    found = throughput(work, ratio=5)
    assert not found.fitted
    assert (found.spells, found.busy_seconds, found.span_seconds) == (1, 109, 109)
    # 100,000 prompt tokens at a fifth of a completion token each, and 10,000 of those, in 109 seconds
    assert found.completion_tokens_per_second == pytest.approx((100_000 / 5 + 10_000) / 109)
    assert found.prompt_tokens_per_second == pytest.approx(5 * found.completion_tokens_per_second)


def test_requests_that_are_all_alike_do_not_tell_the_two_apart() -> None:
    work = [Work(10 * index, 10 * index + 2, 1000, 100) for index in range(50)]
    assert not throughput(work).fitted


@given(
    st.lists(
        st.tuples(st.floats(0, 1000), st.floats(0.01, 50), st.integers(0, 5000), st.integers(1, 2000)), min_size=1
    ),
    st.floats(0.1, 100),
)
def test_all_tokens_take_exactly_the_busy_time(shapes: list[tuple[float, float, int, int]], ratio: float) -> None:
    """So that what is billed by token is what the busy hours cost."""
    found = throughput([Work(start, start + took, *tokens) for start, took, *tokens in shapes], ratio=ratio)
    billed = found.prompt / found.prompt_tokens_per_second + found.completion / found.completion_tokens_per_second
    assert billed == pytest.approx(found.busy_seconds)


@pytest.mark.parametrize("work", [[Work(0, 0, 10, 10)], [Work(0, 5, 0, 0)]])
def test_no_time_or_no_tokens_measure_nothing(work: list[Work]) -> None:
    with pytest.raises(NothingMeasured):
        throughput(work)


async def test_the_ledgers_events_of_one_model_are_measured(
    database: Database, folder: Path, make_event: Callable[..., UsageEvent]
) -> None:
    def event(after_s: float, **changes: object) -> UsageEvent:
        changes = {"model": "small", "latency_ms": 2000.0, "at": NOON + timedelta(seconds=after_s)} | changes
        return make_event(**changes)

    spool = Spool(folder)
    for each in (
        event(0),
        event(1, usage=TokenUsage(prompt=300, completion=20, source="estimated")),
        event(1, model="large"),
        event(2, usage=TokenUsage(prompt=300, completion=20, source="cache")),
        event(60, usage=TokenUsage(source="none")),
        event(-3600),
    ):
        spool.append(each)
    await Writer(spool, database).flush()
    spool.close()

    found = await measure(database, "small", since=NOON - timedelta(minutes=1))
    assert (found.events, found.estimated, found.prompt, found.completion) == (2, 1, 400, 30)
    assert (found.busy_seconds, found.span_seconds) == (pytest.approx(3), pytest.approx(3))
    assert (await measure(database, "small")).events == 3
    with pytest.raises(NothingMeasured, match="'absent'"):
        await measure(database, "absent")
