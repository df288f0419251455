"""A batch of events into the database: their rows, and what they add to the roll-ups, in one transaction.

Only rows that were not there count, so a batch that is offered twice counts once. Whether an id is there is asked
first, over all months: PostgreSQL can keep an id apart only within the partition that its time leads to.

PostgreSQL takes the rows by COPY, which is many times as fast as a statement for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from sqlalchemy import RowMapping, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.money import usd
from ledger.database import Database
from ledger.days import lock_days
from ledger.events import to_row
from ledger.incoming import COLUMNS, Incoming
from ledger.partitions import make_partitions, next_month
from ledger.request_ids import NEAR, is_near
from ledger.tables import MONEY, MONEY_DECIMALS, usage_events
from ledger.tally import Tally

_IDS_AT_ONCE = 1000
_FAR_LOCK = 0x57656966  # "Weif": PostgreSQL's advisory locks are numbers
_TRIES = 3
_DUPLICATE = "23505"
_NO_PARTITION = "no partition of relation"
"""How PostgreSQL puts it that a month is missing: its SQLSTATE is that of any failed check."""


class Intake:
    """Remembers which months have a partition; one that retention dropped meanwhile is made again."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._months: set[tuple[int, int]] = set()

    async def insert(self, events: Sequence[Incoming]) -> list[tuple[Incoming, str]]:
        """Returns those that are not in the database now, with the reason: their id is another event's.

        Raises what the driver raises; then none of them is in it.
        """
        for _ in range(_TRIES):
            try:
                return await self._insert(events)
            except Exception as error:
                if _state(error) == _DUPLICATE:  # another writer had it first, and is done now
                    continue
                if _NO_PARTITION not in str(error) or not self._months:
                    raise
                self._months.clear()
        return await self._insert(events)

    async def _insert(self, events: Sequence[Incoming]) -> list[tuple[Incoming, str]]:
        await self._make_months(events)
        first, doubtful = _told_apart(events)
        async with self._database.writing() as connection:
            await lock_days(connection, {event.at.date() for event in events}, shared=True)
            known = await _known(connection, list(first.values()))
            new = [event for request_id, event in first.items() if request_id not in known]
            if new:
                await _insert_rows(connection, new)
                tally = Tally()
                for event in new:
                    tally.add(event.at, event.latency_ms, event.parts)
                await tally.write(connection)
            doubtful += [event for request_id, event in first.items() if request_id in known]
            return await _others(connection, doubtful) if doubtful else []

    async def _make_months(self, events: Sequence[Incoming]) -> None:
        if self._database.dialect != "postgresql":
            return
        missing = {(event.at.year, event.at.month) for event in events} - self._months
        if missing:
            async with self._database.altering() as connection:
                await make_partitions(connection, [datetime(*month, 1, tzinfo=UTC) for month in missing])
            self._months |= missing


def _told_apart(events: Sequence[Incoming]) -> tuple[dict[str, Incoming], list[Incoming]]:
    """The first of each id, and the others."""
    first: dict[str, Incoming] = {}
    others = [event for event in events if first.setdefault(event.request_id, event) is not event]
    return first, others


async def _known(connection: AsyncConnection, events: Sequence[Incoming]) -> set[str]:
    """The ids that are in the database, of an event of whatever time.

    An id that tells the time is looked for around it only: to ask all months would cost more than to insert. So one
    of Weir's ids is found out wherever its event has the time that the id tells, as all of Weir's events have. Who
    has others, which are few, goes one by one: two that bring the same at once, with different times, would both
    find nothing.
    """
    if connection.dialect.name == "sqlite":
        return await _found(connection, [event.request_id for event in events])
    far: list[str] = []
    near: dict[tuple[int, int], list[str]] = {}
    for event in events:
        told = is_near(event.request_id, event.at)
        (near.setdefault((event.at.year, event.at.month), []) if told else far).append(event.request_id)
    known: set[str] = set()
    if far:
        await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _FAR_LOCK})
        known.update(await _found_in_array(connection, far))
    for (year, number), ids in near.items():
        month = datetime(year, number, 1, tzinfo=UTC)
        known.update(await _found_in_array(connection, ids, month - NEAR, next_month(month) + NEAR))
    return known


async def _found(connection: AsyncConnection, request_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(request_ids), _IDS_AT_ONCE):
        some = request_ids[start : start + _IDS_AT_ONCE]
        query = select(usage_events.c.request_id).where(usage_events.c.request_id.in_(some))
        found.update((await connection.execute(query)).scalars())
    return found


async def _found_in_array(connection: AsyncConnection, request_ids: list[str], *within: datetime) -> Sequence[str]:
    """PostgreSQL takes any number of ids as one value. `within`: from which moment on, and before which."""
    query = _AMONG + (" AND at >= $2 AND at < $3" if within else "")
    return (await connection.exec_driver_sql(query, (request_ids, *within))).scalars().all()


async def _insert_rows(connection: AsyncConnection, events: Sequence[Incoming]) -> None:
    """Sorted, so that writers who offer the same events wait for each other in one order."""
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(_INSERT_ROWS, [_sqlite_row(event.values) for event in events])
        return
    rows = [event.values for event in sorted(events, key=attrgetter("request_id"))]
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    await driver.copy_records_to_table(usage_events.name, records=rows, columns=COLUMNS)


async def _others(connection: AsyncConnection, events: Sequence[Incoming]) -> list[tuple[Incoming, str]]:
    """Of events whose ids are in the database, those that are not the ones which are there."""
    stored: dict[str, RowMapping] = {}
    ids = sorted({event.request_id for event in events})
    for start in range(0, len(ids), _IDS_AT_ONCE):
        query = select(usage_events).where(usage_events.c.request_id.in_(ids[start : start + _IDS_AT_ONCE]))
        stored |= {row["request_id"]: row for row in (await connection.execute(query)).mappings()}
    return [
        (event, "another event has its id, and was written first")
        for event in events
        if event.request_id in stored and not _same(stored[event.request_id], event)
    ]


def _state(error: Exception) -> str:
    """PostgreSQL's name for what went wrong, or empty. Errors of a COPY are the driver's own."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", "") or "")


def _same(row: RowMapping, event: Incoming) -> bool:
    meant = to_row(event.record)
    return all(row[name] == (usd(meant[name]) if name in MONEY else meant.get(name)) for name in COLUMNS)


def _sqlite_row(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """As `tables.Money` and `tables.Instant` would bind them."""
    return tuple(
        int(value.scaleb(MONEY_DECIMALS))
        if type(value) is Decimal
        else f"{value:%Y-%m-%d %H:%M:%S.%f}"
        if type(value) is datetime
        else value
        for value in values
    )


_NAMES = ", ".join(COLUMNS)
# Nothing of a client's is in here: all names are those of `tables`.
_AMONG = "SELECT request_id FROM usage_events WHERE request_id = ANY($1::text[])"
_INSERT_ROWS = f"INSERT INTO usage_events ({_NAMES}) VALUES ({', '.join('?' for _ in COLUMNS)})"  # noqa: S608
