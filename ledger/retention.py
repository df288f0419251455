"""Single events are deleted when they are old; what they added to the roll-ups stays.

Nothing is deleted before all roll-ups are complete. PostgreSQL drops whole months, which takes no time however big
they are, and lets a month be while somebody reads it. SQLite deletes some rows at a time, so that the writer, for
which it has one place only, waits for milliseconds.

An event that is deleted cannot be told from a new one any more. It would count again if a server had crashed
between its commit and the deletion of its segment, and its spool was taken up only after all those days.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.backfill import PRUNED, complete, pruned_before
from ledger.database import Database
from ledger.days import lock_days
from ledger.partitions import attached_months, next_month, partition_of
from ledger.tables import marks, usage_days, usage_events

_ROWS_AT_ONCE = 2000
_LOCK_WAIT = "1s"  # of the drop, and so of all who come after it
_LOCK_NOT_HAD = "55P03"


class RollUpsIncomplete(Exception):
    """Events that are not in the roll-ups yet would be lost to all reports."""


class InUse(Exception):
    """Somebody reads the month, so that it cannot be dropped now."""


async def prune(database: Database, before: datetime) -> AsyncIterator[int]:
    """Delete the events from before `before`, on PostgreSQL whole months only; yields how many, time and again.

    Raises RollUpsIncomplete, InUse, and what the driver raises. What was yielded is gone for good.
    """
    await database.prepare()
    async with database.reading() as connection:
        if not await complete(connection):
            raise RollUpsIncomplete
        months = await attached_months(connection) if database.dialect == "postgresql" else []
    for month in months:
        if next_month(month) <= before:
            yield await _drop(database, month)
    if database.dialect == "sqlite":
        while deleted := await _delete_some(database, before):
            yield deleted


async def _drop(database: Database, month: datetime) -> int:
    end = next_month(month)
    days = [month + timedelta(days=number) for number in range((end - month).days)]
    try:
        async with database.altering() as connection:
            await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'"))
            await lock_days(connection, days, shared=False)
            # From the roll-ups, which have all of them: nobody waits for a count.
            within = usage_days.c.start >= month, usage_days.c.start < end
            number = (await connection.execute(select(func.sum(usage_days.c.requests)).where(*within))).scalar()
            await connection.execute(text(f"DROP TABLE {partition_of(month)}"))
            await _remember(connection, end)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _LOCK_NOT_HAD:
            raise InUse(f"{month:%Y-%m}") from error
        raise
    return int(number or 0)


async def _delete_some(database: Database, before: datetime) -> int:
    some = select(usage_events.c.request_id).where(usage_events.c.at < before).limit(_ROWS_AT_ONCE)
    async with database.writing() as connection:
        done = await connection.execute(delete(usage_events).where(usage_events.c.request_id.in_(some)))
        if done.rowcount:
            await _remember(connection, before)
    return done.rowcount


async def _remember(connection: AsyncConnection, before: datetime) -> None:
    """That single events from before `before` are missing, so that nobody sums up these days anew."""
    known = await pruned_before(connection)
    if known is None or known < before:
        await connection.execute(delete(marks).where(marks.c.name == PRUNED))
        await connection.execute(marks.insert().values(name=PRUNED, value=before.isoformat()))
