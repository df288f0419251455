"""Whether a question can be answered at all: an empty report about a mistyped tenant would look like good news.

The non-obvious decision: a tenant is known for as long as anything of it is. One that has left the configuration,
or was closed, still has reports of what it spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.backfill import complete
from ledger.database import Database
from ledger.reports.document import Unanswerable
from ledger.spool import waiting
from ledger.tables import tenants, usage_days, usage_events


def check_span(since: datetime | None, until: datetime | None) -> None:
    """Raises Unanswerable where there is nothing between the two (aware times; None: no bound)."""
    if since is not None and until is not None and since >= until:
        raise Unanswerable(
            f"'since' ({since:%Y-%m-%d %H:%M %Z}) must be before 'until' ({until:%Y-%m-%d %H:%M %Z})."
        )


async def check_tenant(
    database: Database, spool_folder: Path, tenant: str | None, configured: Collection[str]
) -> None:
    """Raises Unanswerable where nobody has ever heard of `tenant`, and what the driver raises; None is all."""
    if tenant is None or tenant in configured or await asyncio.to_thread(_waits, spool_folder, tenant):
        return
    await database.prepare()
    async with database.reading() as connection:
        if await _is_stored(connection, tenant):
            return
    raise Unanswerable(
        f"There is no tenant '{tenant}', and no request of one was ever recorded. `weir tenants list` names them."
    )


def _waits(folder: Path, tenant: str) -> bool:
    return any(event.tenant == tenant for event in waiting(folder))


async def _is_stored(connection: AsyncConnection, tenant: str) -> bool:
    columns = [tenants.c.name, usage_days.c.tenant]
    if not await complete(connection):
        columns.append(usage_events.c.tenant)
    for column in columns:
        if (await connection.execute(select(column).where(column == tenant).limit(1))).first() is not None:
            return True
    return False
