"""Locks on days: who adds events to a day shares it, who sums it up anew or empties it is alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_DAYS = 0x57656964  # "Weid": the class of PostgreSQL's advisory locks that are days
_SHARED = text("SELECT pg_advisory_xact_lock_shared(:kind, :day)")
_ALONE = text("SELECT pg_advisory_xact_lock(:kind, :day)")


async def lock_days(connection: AsyncConnection, days: Iterable[date], *, shared: bool) -> None:
    """Until the end of the transaction, these days of UTC. SQLite has one writer at a time anyway."""
    if connection.dialect.name != "postgresql":
        return
    for day in sorted({day.toordinal() for day in days}):
        await connection.execute(_SHARED if shared else _ALONE, {"kind": _DAYS, "day": day})
