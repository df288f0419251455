"""Hours with many failures, from the sums by hour and the spool; and the spread of latencies by day."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.reports.incidents import Hour, Incident, gathered, incidents
from ledger.reports.latencies import latencies, quantiles, together
from ledger.reports.single_events import Span
from ledger.spool import Spool
from ledger.tables import marks, usage_hours, usage_latencies
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)


def hour(number: int, requests: int, failed: int, route: str = "a") -> tuple[tuple[str, datetime], Hour]:
    return (route, NOON + timedelta(hours=number)), Hour(requests, failed)


def test_hours_that_follow_each_other_are_one_incident() -> None:
    hours = dict([hour(0, 100, 6), hour(1, 100, 50), hour(2, 100, 5), hour(3, 100, 7), hour(1, 100, 99, "b")])
    assert gathered(hours) == [
        Incident(route="b", begin=NOON + timedelta(hours=1), hours=1, worst=0.99, failed=99),
        Incident(route="a", begin=NOON, hours=2, worst=0.5, failed=56),
        Incident(route="a", begin=NOON + timedelta(hours=3), hours=1, worst=0.07, failed=7),
    ]


@pytest.mark.parametrize(("requests", "failed"), [(19, 19), (100, 5), (20, 1), (0, 0)])
def test_few_requests_or_few_failures_are_no_incident(requests: int, failed: int) -> None:
    assert gathered(dict([hour(0, requests, failed)])) == []


async def forget_roll_ups(database: Database) -> None:
    """As before a backfill."""
    async with database.writing() as connection:
        for table in (usage_hours, usage_latencies):
            await connection.execute(delete(table))
        await connection.execute(delete(marks).where(marks.c.name == "roll-ups"))
        await connection.execute(insert(marks).values(name="roll-ups", value="missing"))


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_stored_and_spooled_requests_count_together(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent, rolled_up: bool
) -> None:
    """Twelve failures of 40, half of them still in the spool; another tenant's and a judge's say nothing."""
    later = NOON + timedelta(minutes=59)
    events = [make_event(at=later, outcome="failed" if number < 12 else "answered") for number in range(40)]
    for event in events[::2]:
        spool.append(event)
    spool.append(make_event(at=NOON, tenant="globex", outcome="failed"))
    spool.append(make_event(at=NOON, purpose="judge", outcome="failed"))
    await Writer(spool, database).flush()
    if not rolled_up:
        await forget_roll_ups(database)
    for event in [*events[1::2], events[0], make_event(at=NOON, purpose="judge", outcome="failed")]:
        spool.append(event)
    expected = Incident(route="support", begin=NOON, hours=1, worst=0.3, failed=12)
    assert await incidents(database, folder, Span(tenant="acme")) == [expected]
    assert await incidents(database, folder, Span(tenant="acme", since=NOON + timedelta(hours=1))) == []
    assert await incidents(database, folder, Span(tenant="acme", route="other")) == []


@pytest.mark.parametrize("rolled_up", [True, False])
async def test_quantiles_are_near_those_of_the_single_latencies(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent, rolled_up: bool
) -> None:
    lots = random.Random(1)
    took = [lots.lognormvariate(5, 1) for _ in range(500)]
    for number, latency_ms in enumerate(took):
        spool.append(make_event(purpose="audit", latency_ms=1e6))
        spool.append(make_event(latency_ms=latency_ms, model=("large", "small")[number % 2]))
        if number == 300:
            await Writer(spool, database).flush()
            if not rolled_up:
                await forget_roll_ups(database)
    found = await latencies(database, folder, Span())
    assert set(found) == {("support", "large"), ("support", "small")}
    ordered = sorted(took)
    exact = {"p50": ordered[249], "p95": ordered[474], "p99": ordered[494]}
    assert quantiles(together(found, route="support")) == pytest.approx(exact, rel=0.03)
    small = sorted(took[1::2])
    assert quantiles(together(found, model="small"))["p50"] == pytest.approx(small[124], rel=0.03)


async def test_no_requests_have_no_latency(database: Database, folder: Path) -> None:
    assert quantiles(together(await latencies(database, folder, Span()))) == {"p50": None, "p95": None, "p99": None}
