"""The roll-ups of a day, summed up anew from its events: for a database from before there were any, or on demand.

The day is read as it is at one moment, which locks nobody out. Only to put the sums in place is the day locked, for
milliseconds, and only if no event came meanwhile: events are written once and never changed, so as many as were
read are the ones that were read. A day to which events keep coming is summed up under the lock in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.database import Database
from ledger.days import lock_days
from ledger.partitions import attached_months, month_of
from ledger.rollups import READ_BY_PARTS, parts_of
from ledger.tables import marks, usage_days, usage_events, usage_hours, usage_latencies
from ledger.tally import Tally

ROLL_UPS = "roll-ups"
MISSING = "missing"
"""The mark of roll-ups that are not complete, and from which day on they are not. Without it they are."""

PRUNED = "pruned"
"""The mark of single events that were deleted: before this moment some are missing."""

_DAY = timedelta(days=1)
_EVER = datetime(1, 1, 1, tzinfo=UTC)
_TRIES = 2
_ROWS_AT_ONCE = 1000
_BACKFILL_LOCK = 0x57656962  # "Weib"
_COUNTED = [usage_events.c[name] for name in (*READ_BY_PARTS, "latency_ms")]


async def complete(connection: AsyncConnection) -> bool:
    """Whether every event is in the roll-ups."""
    return await unfinished(connection) is None


async def summed_up(connection: AsyncConnection) -> bool:
    """The same, be it without tags that are new: events are only deleted once all are in the roll-ups."""
    return await complete(connection) or await pruned_before(connection) is not None


async def pruned_before(connection: AsyncConnection) -> datetime | None:
    """Before this moment single events were deleted; None: none were."""
    found = (await connection.execute(select(marks.c.value).where(marks.c.name == PRUNED))).scalar()
    return None if found is None else datetime.fromisoformat(found)


async def step(database: Database, tags: Sequence[str]) -> bool:
    """Sum up the next day of those that are missing. False where nothing is left to do, or another does it.

    Goes on where the last one ended, be it of another process.
    """
    async with database.reading() as alone:
        mark = await unfinished(alone)
        if mark is None or not await _only_one(alone):
            return False
        day = await next_day(alone, _begun(mark))
        if day is not None:
            await rebuild(database, day, tags)
    async with database.writing() as connection:
        found = marks.c.name == ROLL_UPS, marks.c.value == mark
        if day is None:
            await connection.execute(delete(marks).where(*found))
        else:
            after = f"{MISSING} from {day + _DAY:%Y-%m-%d}"
            await connection.execute(marks.update().where(*found).values(value=after))
    return day is not None


async def rebuild(database: Database, day: datetime, tags: Sequence[str]) -> int | None:
    """Put the roll-ups of `day` in place of what is there; returns the number of its events.

    None, and nothing is changed, where single events of the day were deleted: the roll-ups know more than they do.
    """
    for _ in range(_TRIES):
        async with database.reading() as connection:
            tally, events = await _summed(connection, day, tags)
        async with database.writing() as connection:
            await lock_days(connection, [day], shared=False)
            if await _pruned(connection, day):
                return None
            if await _number(connection, day) == events:
                await _replace(connection, day, tally)
                return events
    async with database.writing() as connection:
        await lock_days(connection, [day], shared=False)
        if await _pruned(connection, day):
            return None
        tally, events = await _summed(connection, day, tags)
        await _replace(connection, day, tally)
    return events


async def days_of(database: Database, since: datetime | None, until: datetime) -> list[datetime]:
    """The days from `since` on and before `until` that may have events. PostgreSQL tells months only."""
    found: list[datetime] = []
    async with database.reading() as connection:
        day = await next_day(connection, since or _EVER)
        while day is not None and day < until:
            found.append(day)
            day = await next_day(connection, day + _DAY)
    return found


async def next_day(connection: AsyncConnection, since: datetime) -> datetime | None:
    """The first day from the day `since` on that may have events; None where none has."""
    if connection.dialect.name == "postgresql":
        months = [month for month in await attached_months(connection) if month >= month_of(since)]
        return max(months[0], since) if months else None
    first = (
        await connection.execute(select(func.min(usage_events.c.at)).where(usage_events.c.at >= since))
    ).scalar()
    return None if first is None else first.replace(hour=0, minute=0, second=0, microsecond=0)


async def _pruned(connection: AsyncConnection, day: datetime) -> bool:
    before = await pruned_before(connection)
    return before is not None and day < before


async def _summed(connection: AsyncConnection, day: datetime, tags: Sequence[str]) -> tuple[Tally, int]:
    tally, events = Tally(), 0
    query = select(*_COUNTED).where(*_within(day)).execution_options(yield_per=_ROWS_AT_ONCE)
    async with connection.stream(query) as found:
        async for row in found.mappings():
            tally.add(row["at"], row["latency_ms"], parts_of(dict(row), tags))
            events += 1
    return tally, events


async def _replace(connection: AsyncConnection, day: datetime, tally: Tally) -> None:
    for table in (usage_hours, usage_days, usage_latencies):
        await connection.execute(delete(table).where(table.c.start >= day, table.c.start < day + _DAY))
    await tally.write(connection)


def _within(day: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return usage_events.c.at >= day, usage_events.c.at < day + _DAY


async def _number(connection: AsyncConnection, day: datetime) -> int:
    query = select(func.count()).select_from(usage_events).where(*_within(day))
    return int((await connection.execute(query)).scalar_one())


async def unfinished(connection: AsyncConnection) -> str | None:
    """The mark of roll-ups that are not complete; None where they are."""
    found = (await connection.execute(select(marks.c.value).where(marks.c.name == ROLL_UPS))).scalar()
    return found if found is not None and found.startswith(MISSING) else None


def _begun(mark: str) -> datetime:
    _, _, day = mark.partition(" from ")
    return datetime.fromisoformat(day).replace(tzinfo=UTC) if day else _EVER


async def _only_one(connection: AsyncConnection) -> bool:
    """Until the end of the transaction. SQLite's writers are one for each spool folder: there it is true."""
    if connection.dialect.name != "postgresql":
        return True
    found = await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _BACKFILL_LOCK})
    return bool(found.scalar_one())
