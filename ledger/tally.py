"""What a batch of events adds to the roll-ups, and how it gets there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Table, case, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.rollups import Place, Sums, bucket_of
from ledger.tables import COUNTED, MONEY, ROLLED_UP_BY, usage_days, usage_hours

_HOUR = timedelta(hours=1)
_ROWS_AT_ONCE = 500
_TOGETHER = (
    " ON CONFLICT (start, tenant, route, model, purpose, bucket)"
    " DO UPDATE SET requests = usage_latencies.requests + excluded.requests"
)
_INTO = "INSERT INTO usage_latencies (start, tenant, route, model, purpose, bucket, requests) "
_ADD_LATENCIES = _INTO + "VALUES (?, ?, ?, ?, ?, ?, ?)" + _TOGETHER
_COLUMNS = "$1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::bigint[]"
_ADD_LATENCY_COLUMNS = f"{_INTO} SELECT * FROM unnest({_COLUMNS}) {_TOGETHER}"  # noqa: S608 - all of it is here


class Tally:
    """Sums by hour and place, and latencies by day; days are added up from the hours in the end."""

    def __init__(self) -> None:
        self._hours: dict[tuple[datetime, Place], Sums] = {}
        self._latencies: dict[tuple[datetime, str, str, str, str, int], int] = {}
        # The hour of the last event, which is nearly always the next one's.
        self._hour = self._day = self._end = datetime(1, 1, 1, tzinfo=UTC)

    def add(self, at: datetime, latency_ms: float, parts: Iterable[tuple[Place, Sums]]) -> None:
        """One event of the time `at`, in UTC, as `rollups.parts_of` has it: the part with the request first."""
        if not self._hour <= at < self._end:
            self._hour = at.replace(minute=0, second=0, microsecond=0)
            self._day, self._end = self._hour.replace(hour=0), self._hour + _HOUR
        hour = self._hour
        own: Place | None = None
        for place, sums in parts:
            own = own or place
            known = self._hours.get((hour, place))
            self._hours[hour, place] = sums if known is None else known + sums
        if own is not None:
            key = (self._day, own.tenant, own.route, own.model, own.purpose, bucket_of(latency_ms))
            self._latencies[key] = self._latencies.get(key, 0) + 1

    async def write(self, connection: AsyncConnection) -> None:
        """Add it to what is there: sorted, so that writers who meet wait for each other in one order.

        Raises OverflowError, or what the driver raises, where a sum outgrows its column.
        """
        days: dict[tuple[datetime, Place], Sums] = {}
        for (hour, place), sums in self._hours.items():
            day = hour.replace(hour=0), place
            days[day] = days[day] + sums if day in days else sums
        for table, found in ((usage_hours, self._hours), (usage_days, days)):
            await _add(
                connection, table, [_row(start, place, found[start, place]) for start, place in sorted(found)]
            )
        latencies = [(*key, count) for key, count in sorted(self._latencies.items())]
        if latencies:  # they are many: a row for each class of latencies, and so they go the quick way
            if connection.dialect.name == "postgresql":
                columns = tuple(list(column) for column in zip(*latencies, strict=True))
                await connection.exec_driver_sql(_ADD_LATENCY_COLUMNS, columns)
            else:
                rows = [(f"{start:%Y-%m-%d %H:%M:%S.%f}", *others) for start, *others in latencies]
                await connection.exec_driver_sql(_ADD_LATENCIES, rows)


async def _add(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    checks = connection.dialect.name == "postgresql"
    insert = (postgresql if checks else sqlite).insert(table)
    together: dict[str, ColumnElement[Any]] = {
        column.name: column + insert.excluded[column.name] for column in table.columns if not column.primary_key
    }
    if not checks:
        together = {name: _whole(total) for name, total in together.items()}
    statement = insert.on_conflict_do_update(index_elements=list(table.primary_key.columns), set_=together)
    try:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            await connection.execute(statement, rows[start : start + _ROWS_AT_ONCE])
    except IntegrityError as error:
        raise OverflowError("the sums of its hour or day would be more than the database can hold") from error


def _whole(total: ColumnElement[Any]) -> ColumnElement[Any]:
    """SQLite makes a float of a sum that is no 64-bit number any more; a null at least it refuses."""
    return case((func.typeof(total) == "integer", total))


def _row(start: datetime, place: Place, sums: Sums) -> dict[str, Any]:
    row: dict[str, Any] = {"start": start, **dict(zip(ROLLED_UP_BY, place, strict=True))}
    row.update((name, getattr(sums, name)) for name in (*COUNTED, *MONEY))
    return row
