"""What there is to know of a ledger: its database, its roll-ups, its spool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.backfill import pruned_before, unfinished
from ledger.database import Database
from ledger.segment import read_lines
from ledger.spool import segments, set_aside
from ledger.tables import SCHEMA_VERSION, usage_days, usage_events

_PARTITIONS = text(
    "SELECT child.relname, pg_total_relation_size(child.oid) FROM pg_inherits JOIN pg_class child "
    "ON child.oid = inhrelid WHERE inhparent = 'usage_events'::regclass ORDER BY child.relname"
)
_PREFIX = "usage_events_"


class Partition(Struct, frozen=True, kw_only=True):
    """One month of events in PostgreSQL, such as `2026-11`."""

    month: str
    bytes: int


class LedgerStatus(Struct, frozen=True, kw_only=True):
    """`bytes` are the database's; `roll_ups_from`: the day from which on roll-ups are still missing, if known."""

    database: str
    schema: str
    bytes: int
    events: int
    first_at: datetime | None
    last_at: datetime | None
    requests_rolled_up: int
    roll_ups_complete: bool
    roll_ups_from: str
    pruned_before: datetime | None
    partitions: Sequence[Partition]
    waiting_events: int
    waiting_bytes: int
    set_aside: int


async def ledger_status(database: Database, spool_folder: Path) -> LedgerStatus:
    """All of one moment but the spool. Counts every event, which takes its time. Raises what the driver raises."""
    await database.prepare()
    waiting_events, waiting_bytes = await asyncio.to_thread(_waiting, spool_folder)
    async with database.reading() as connection:
        events, first, last = (
            await connection.execute(
                select(func.count(), func.min(usage_events.c.at), func.max(usage_events.c.at)).select_from(
                    usage_events
                )
            )
        ).one()
        mark = await unfinished(connection)
        rolled_up = (await connection.execute(select(func.sum(usage_days.c.requests)))).scalar()
        return LedgerStatus(
            database=database.name,
            schema=SCHEMA_VERSION,
            bytes=await _size(connection),
            events=events,
            first_at=first,
            last_at=last,
            requests_rolled_up=int(rolled_up or 0),
            roll_ups_complete=mark is None,
            roll_ups_from=(mark or "").partition(" from ")[2],
            pruned_before=await pruned_before(connection),
            partitions=await _partitions(connection),
            waiting_events=waiting_events,
            waiting_bytes=waiting_bytes,
            set_aside=set_aside(spool_folder),
        )


async def _size(connection: AsyncConnection) -> int:
    if connection.dialect.name == "postgresql":
        return int((await connection.execute(text("SELECT pg_database_size(current_database())"))).scalar_one())
    pages = (await connection.execute(text("PRAGMA page_count"))).scalar_one()
    return int(pages) * int((await connection.execute(text("PRAGMA page_size"))).scalar_one())


async def _partitions(connection: AsyncConnection) -> list[Partition]:
    if connection.dialect.name != "postgresql":
        return []
    found = (await connection.execute(_PARTITIONS)).all()
    return [Partition(month=name.removeprefix(_PREFIX).replace("_", "-"), bytes=size) for name, size in found]


def _waiting(folder: Path) -> tuple[int, int]:
    events = size = 0
    for path in segments(folder):
        for line in read_lines(path):
            events += 1
            size += len(line) + 1
    return events, size
