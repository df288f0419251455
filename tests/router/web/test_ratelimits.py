"""What is left of budgets, in the words of OpenAI's rate limits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from contracts.budgets import Left, Measure
from contracts.errors import LimitReached
from router.web.ratelimits import headers_of, headers_of_refusal, span

NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=6)


def left(measure: Measure, amount: int, limit: int = 100, resets_at: datetime | None = LATER) -> Left:
    return Left(budget=f"{measure}-{limit}", measure=measure, limit=limit, left=amount, resets_at=resets_at)


def test_each_measure_has_three_headers() -> None:
    told = headers_of(
        [
            left("requests", 59, 60, NOW + timedelta(seconds=1)),
            left("tokens", 149_984, 150_000),
            left("usd", 1_500_000_000, 10_000_000_000, NOW + timedelta(days=5)),
        ],
        NOW,
    )
    assert told == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-tokens": "6m0s",
        "x-ratelimit-limit-usd": "10",
        "x-ratelimit-remaining-usd": "1.5",
        "x-ratelimit-reset-usd": "120h0m0s",
    }


def test_the_tightest_is_told_whatever_the_order() -> None:
    wide, tight = left("tokens", 500, 1000), left("tokens", 20, 5000)
    for both in ([wide, tight], [tight, wide]):
        assert headers_of(both, NOW)["x-ratelimit-limit-tokens"] == "5000"


def test_nothing_is_said_of_what_no_budget_limits_or_nothing_resets() -> None:
    assert headers_of([], NOW) == {}
    assert "x-ratelimit-reset-usd" not in headers_of([left("usd", 1, resets_at=None)], NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (0.2, "1s"), (59, "59s"), (59.5, "1m0s"), (360, "6m0s"), (3600, "1h0m0s")],
)
def test_spans_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_a_refusal_tells_the_same() -> None:
    here = LATER.astimezone(timezone(timedelta(hours=2)))
    refused = LimitReached(
        "x", budget="b", measure="requests", limit="60", left="0", resets_at=here.isoformat(), retry_after_s=360
    )
    assert headers_of_refusal(refused, NOW) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m0s",
    }
    never = LimitReached("x", budget="b", measure="usd", limit="1", left="0")
    assert set(headers_of_refusal(never, NOW)) == {"x-ratelimit-limit-usd", "x-ratelimit-remaining-usd"}
