"""Which tags the roll-ups tell apart, as a mark in the database: what is configured may be newer than they are.

The non-obvious decision: who reads goes by the mark and not by the configuration. A budget on a tag that is new
would else find nothing spent in the days that were summed up before, and be spent twice.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import orjson
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.backfill import MISSING, ROLL_UPS, pruned_before
from ledger.database import Database
from ledger.tables import marks, usage_days

TAGS = "tags"
"""The mark: a JSON object of the tags, each with the day from which on it is known, or null for all days."""


async def tags_told_apart(connection: AsyncConnection) -> Mapping[str, datetime | None] | None:
    """By tag, the day from which on it is known; None: of all days. No mapping where nobody has said so yet."""
    found = (await connection.execute(select(marks.c.value).where(marks.c.name == TAGS))).scalar()
    if found is None:
        return None
    return {name: None if day is None else datetime.fromisoformat(day) for name, day in orjson.loads(found).items()}


async def tell_apart(database: Database, tags: Sequence[str]) -> bool:
    """Have the mark say `tags`. Whether some are new, so that all days have to be summed up anew: `backfill.step`.

    Single events that were deleted cannot be: of their days a new tag stays unknown.
    """
    async with database.writing() as connection:
        known = await tags_told_apart(connection)
        if known is not None and set(known) == set(tags):
            return False
        summed_up = (await connection.execute(select(func.min(usage_days.c.start)))).scalar() is not None
        before = await pruned_before(connection)
        new = _new(tags, known) if summed_up else set()
        since = {name: before if name in new else (known or {}).get(name) for name in tags}
        await _put(connection, TAGS, orjson.dumps(since, option=orjson.OPT_SORT_KEYS).decode())
        if new:
            await _put(connection, ROLL_UPS, MISSING)
    return bool(new)


def _new(tags: Collection[str], known: Collection[str] | None) -> set[str]:
    """Where nobody has said what the roll-ups hold, all that are wanted may be missing."""
    return set(tags) - set(known or ())


async def _put(connection: AsyncConnection, name: str, value: str) -> None:
    await connection.execute(delete(marks).where(marks.c.name == name))
    await connection.execute(marks.insert().values(name=name, value=value))
