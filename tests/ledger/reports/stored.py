"""Events in the database as the ledger's writer leaves them: with their roll-ups."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.tables import usage_days, usage_events, usage_hours, usage_latencies
from tests.ledger.storing import store


async def insert_events(database: Database, events: Sequence[UsageEvent], tags: Sequence[str] = ()) -> None:
    """These and no others. `tags` are the names that are rolled up."""
    async with database.writing() as connection:
        for table in (usage_events, usage_days, usage_hours, usage_latencies):
            await connection.execute(delete(table))
    if events:
        await store(database, events, tags)
