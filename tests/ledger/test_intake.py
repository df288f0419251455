"""Batches into the database: each event once, whoever reads meanwhile and however its id comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.events import to_json
from ledger.incoming import Incoming, incoming
from ledger.intake import Intake
from ledger.partitions import attached_months, make_partitions
from ledger.tables import usage_days, usage_events
from tests.ledger.storing import store

MakeEvent = Callable[..., UsageEvent]
AT = datetime(2026, 10, 31, 23, 59, 59, 999000, tzinfo=UTC)
ID = f"req_{int(AT.timestamp() * 1000):012x}"


def as_incoming(event: UsageEvent) -> Incoming:
    return incoming(to_json(event), ())


async def totals(database: Database) -> tuple[int, Decimal, int, Decimal]:
    async with database.reading() as connection:
        events = (await connection.execute(select(func.count(), func.sum(usage_events.c.cost)))).one()
        days = (
            await connection.execute(select(func.sum(usage_days.c.requests), func.sum(usage_days.c.cost)))
        ).one()
    return events[0], events[1], int(days[0]), days[1]


@pytest.mark.parametrize("request_id", ["r", ID + "0" * 20])
@pytest.mark.parametrize("at", [AT, AT.replace(hour=1), datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC)])
async def test_an_id_that_comes_again_with_other_content_is_set_aside_whatever_its_time(
    database: Database, make_event: MakeEvent, request_id: str, at: datetime
) -> None:
    await store(database, [make_event(request_id=request_id, at=AT, cost=Decimal(1))])
    other = as_incoming(make_event(request_id=request_id, at=at, cost=Decimal(2)))
    fresh = as_incoming(make_event(cost=Decimal(4)))
    assert await Intake(database).insert([other, fresh]) == [
        (other, "another event has its id, and was written first")
    ]
    assert await totals(database) == (2, 5, 2, 5)


async def test_so_it_is_within_a_batch(database: Database, make_event: MakeEvent) -> None:
    first, again, other = (as_incoming(make_event(request_id="r", cost=Decimal(cost))) for cost in (1, 1, 2))
    assert [event for event, _ in await Intake(database).insert([first, again, other])] == [other]
    assert await totals(database) == (1, 1, 1, 1)


async def test_writers_that_offer_the_same_events_at_once_count_them_once(
    url: str, database: Database, make_event: MakeEvent
) -> None:
    events = [as_incoming(make_event(at=AT.replace(hour=number % 24), cost=Decimal(1))) for number in range(60)]
    databases = [Database(url) for _ in range(3)]
    await asyncio.gather(*(other.prepare() for other in databases))
    intakes = [Intake(other) for other in databases]
    for start in range(0, 60, 20):
        some = events[start : start + 20]
        await asyncio.gather(
            *(intake.insert(some[::step]) for intake, step in zip(intakes, (1, -1, 1), strict=True))
        )
    assert await totals(database) == (60, 60, 60, 60)
    for other in databases:
        await other.close()


async def test_a_long_read_keeps_nobody_from_writing(database: Database, make_event: MakeEvent) -> None:
    """Also where the next month has no partition yet."""
    await store(database, [make_event(at=AT)])
    async with database.reading() as report:
        assert (await report.execute(select(func.count()).select_from(usage_events))).scalar() == 1
        async with asyncio.timeout(10):
            await store(database, [make_event(at=AT), make_event(at=datetime(2026, 12, 1, tzinfo=UTC))])
        assert (await report.execute(select(func.count()).select_from(usage_events))).scalar() == 1
        assert (await report.execute(select(func.sum(usage_days.c.requests)))).scalar() == 1
    assert (await totals(database))[0] == 3


async def test_a_write_keeps_nobody_from_reading(database: Database, make_event: MakeEvent) -> None:
    await store(database, [make_event(at=AT)])
    async with database.altering() as connection:
        await make_partitions(connection, [datetime(2026, 12, 1, tzinfo=UTC)])
        async with asyncio.timeout(10), database.reading() as report:
            assert (await report.execute(select(func.count()).select_from(usage_events))).scalar() == 1


@pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_months_are_made_once_by_whoever_comes_first(url: str, database: Database) -> None:
    moments = [datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]

    async def make() -> None:
        async with database.altering() as connection:
            await make_partitions(connection, moments)

    await asyncio.gather(*(make() for _ in range(4)))
    async with database.reading() as connection:
        assert [(month.year, month.month) for month in await attached_months(connection)] == [(2026, 12), (2027, 1)]


async def test_a_batch_that_fails_leaves_nothing(database: Database, make_event: MakeEvent) -> None:
    poison = make_event(tenant="x" * 3000) if database.dialect == "postgresql" else make_event(cost=Decimal(10**8))
    poison = poison if database.dialect == "sqlite" else make_event(tenant="".join(map(chr, range(256, 9000))))
    with pytest.raises(Exception, match=r"index row|too large"):
        await Intake(database).insert([as_incoming(make_event()), as_incoming(poison)])
    async with database.reading() as connection:
        assert (await connection.execute(select(func.count()).select_from(usage_events))).scalar() == 0
        assert (await connection.execute(select(func.count()).select_from(usage_days))).scalar() == 0
