"""Windows of the calendar in UTC, and a clock that is set back."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.budgets import Window
from ledger.budgets.windows import ALWAYS, SteadyClock, span_at


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize(
    ("window", "now", "begin", "end"),
    [
        ("minute", "2026-11-25T18:59:59.999+00:00", "2026-11-25T18:59:00Z", "2026-11-25T19:00:00Z"),
        ("minute", "2026-11-25T19:00:00+00:00", "2026-11-25T19:00:00Z", "2026-11-25T19:01:00Z"),
        ("day", "2026-11-25T00:30:00+01:00", "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"),
        ("month", "2026-12-31T23:59:59+00:00", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        ("month", "2028-02-29T12:00:00+00:00", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
    ],
)
def test_a_window_is_one_of_the_calendar(window: Window, now: str, begin: str, end: str) -> None:
    span = span_at(window, seconds(now))
    assert (span.begins_at, span.resets_at) == (datetime.fromisoformat(begin), datetime.fromisoformat(end))


def test_all_of_time_has_no_end() -> None:
    assert span_at("total", 0) == span_at("total", 2e9) == ALWAYS
    assert (ALWAYS.begins_at, ALWAYS.resets_at) == (None, None)
    assert ALWAYS.holds(2e9)


moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


@given(moment=moments, window=st.sampled_from(["minute", "day", "month"]))
def test_windows_meet_without_gap(moment: datetime, window: Window) -> None:
    span = span_at(window, moment.timestamp())
    assert span.holds(moment.timestamp())
    assert span_at(window, span.end).begin == span.end
    assert span_at(window, math.nextafter(span.end, 0)) == span


def test_time_stands_still_while_the_clock_is_set_back_a_little() -> None:
    now = 10_000.0
    clock = SteadyClock(lambda: now)
    assert clock() == 10_000
    now = 9_941.0
    assert clock() == 10_000
    now = 10_001.0
    assert clock() == 10_001
    now = 10_001.0 - 61
    assert clock() == now, "so far back, it was wrong before"
