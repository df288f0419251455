"""The task beside the writer: it does its work, outlives a database that is down, and can be broken off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import delete, select

from contracts.records import UsageEvent
from ledger.backfill import MISSING, ROLL_UPS, complete
from ledger.database import Database
from ledger.spool import Spool
from ledger.tables import marks, usage_days
from ledger.upkeep import Upkeep
from tests.ledger.storing import store
from tests.ledger.writing import writing

MakeEvent = Callable[..., UsageEvent]


async def is_complete(database: Database) -> bool:
    async with database.reading() as connection:
        return await complete(connection)


async def forget_roll_ups(database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(marks.insert().values(name=ROLL_UPS, value=MISSING))
        await connection.execute(delete(usage_days))


async def test_it_builds_by_itself_what_is_missing(database: Database, make_event: MakeEvent) -> None:
    await store(database, [make_event(at=datetime(2026, 11, day, tzinfo=UTC)) for day in (1, 3)])
    await forget_roll_ups(database)
    upkeep = Upkeep(database, tags=(), keep_days=None)
    upkeep.start()
    async with asyncio.timeout(20):
        while not await is_complete(database):  # noqa: ASYNC110 - there is nothing to wait on
            await asyncio.sleep(0.01)
    await upkeep.stop()
    async with database.reading() as connection:
        days = (await connection.execute(select(usage_days.c.start).order_by(usage_days.c.start))).scalars().all()
    assert [day.day for day in days] == [1, 3]


async def test_the_writers_process_does_it_with_the_tags_that_are_configured(
    url: str, database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    await store(database, [make_event(tags={"team": "search"})])
    await forget_roll_ups(database)
    async with writing(url, folder, tags=("team",)), asyncio.timeout(30):
        while not await is_complete(database):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
    async with database.reading() as connection:
        assert (await connection.execute(select(usage_days.c.tags))).scalars().all() == ['{"team":"search"}']


async def test_a_database_that_is_down_does_not_end_it() -> None:
    down = Database("postgresql://postgres@127.0.0.1:1/weir")
    upkeep = Upkeep(down, tags=(), keep_days=30)
    upkeep.start()
    await asyncio.sleep(0.2)
    await upkeep.stop()
    await down.close()
