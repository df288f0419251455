"""What waits in the spool is found beside one moment of the database, whatever is shipped meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.reports.unshipped import Spooled, spooled_in
from ledger.spool import Spool, segments
from ledger.tables import usage_events
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]


async def found(spooled: Spooled, connection: AsyncConnection) -> list[UsageEvent]:
    return [event async for some in spooled.unshipped(connection, lambda _: True) for event in some]


async def test_what_is_shipped_and_deleted_meanwhile_is_read_all_the_same(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    events = [make_event() for _ in range(5)]
    for event in events:
        spool.append(event)
    before = segments(folder)
    with spooled_in(folder) as spooled:
        async with database.reading() as connection:
            await connection.execute(select(func.count()).select_from(usage_events))
            await Writer(spool, database).flush()
            assert not set(before) & set(segments(folder))
            assert await found(spooled, connection) == events
        async with database.reading() as connection:
            assert await found(spooled, connection) == []


async def test_of_an_id_that_is_there_twice_the_first_is_taken_as_by_the_writer(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    first = make_event(request_id="r", cost=Decimal(1))
    for event in (first, make_event(request_id="r", cost=Decimal(2)), first):
        spool.append(event)
    with spooled_in(folder) as spooled:
        async with database.reading() as connection:
            assert await found(spooled, connection) == [first]
        await Writer(spool, database).flush()
        async with database.reading() as connection:
            assert list((await connection.execute(select(usage_events.c.cost))).scalars()) == [1]


async def test_more_than_are_taken_at_once_are_all_found(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    for _ in range(2300):
        spool.append(make_event())
    with spooled_in(folder) as spooled:
        async with database.reading() as connection:
            assert len({event.request_id for event in await found(spooled, connection)}) == 2300
