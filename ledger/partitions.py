"""The months in which PostgreSQL keeps the events, one partition each. SQLite has none of this.

A partition is made as a table of its own and then attached: that takes a lock which lets readers and writers go on,
where CREATE TABLE ... PARTITION OF would wait for the longest report and have everyone else wait behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

PARTITIONS_LOCK = 0x57656970  # "Weip", beside the lock of migrations
_NAME = re.compile(r"usage_events_(\d{4})_(\d{2})")
_ATTACHED = text(
    "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
    "WHERE inhparent = 'usage_events'::regclass ORDER BY child.relname"
)


def month_of(moment: datetime) -> datetime:
    """The beginning of its month, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(month: datetime) -> datetime:
    years, number = divmod(month.month, 12)
    return month.replace(year=month.year + years, month=number + 1)


def partition_of(month: datetime) -> str:
    """The name of the month's table."""
    return f"usage_events_{month.year:04d}_{month.month:02d}"


async def attached_months(connection: AsyncConnection) -> list[datetime]:
    """The months that have a partition, oldest first."""
    names = (await connection.execute(_ATTACHED)).scalars()
    found = (_NAME.fullmatch(name) for name in names)
    return [datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC) for match in found if match]


async def make_partitions(connection: AsyncConnection, moments: Iterable[datetime]) -> None:
    """See that each of `moments` has its partition. Nothing on SQLite.

    To be called in a transaction of its own: others that need a new month wait for its end.
    """
    if connection.dialect.name != "postgresql":
        return
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": PARTITIONS_LOCK})
    attached = set(await attached_months(connection))
    for month in sorted({month_of(moment) for moment in moments} - attached):
        name = partition_of(month)
        await connection.execute(text(f"CREATE TABLE {name} (LIKE usage_events INCLUDING DEFAULTS)"))
        await connection.execute(
            text(
                f"ALTER TABLE usage_events ATTACH PARTITION {name} "
                f"FOR VALUES FROM ('{month.isoformat()}') TO ('{next_month(month).isoformat()}')"
            )
        )
