"""One moment of the ledger's single events: those in the database and those still in the spool, each once.

As in `reading`, all questions are asked of one snapshot of the database, and `unshipped` gives what is not in it.
Long spans are asked about day by day: no question then takes longer than the database lets it, or sorts more than
fits in its memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sys import intern
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.records import UsageEvent
from ledger.database import Database
from ledger.reports.unshipped import spooled_in
from ledger.tables import usage_events

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From `since` on and before `until` (aware times; None: no bound), of one tenant and route or of all."""

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    route: str | None = None

    def holds(self, event: UsageEvent) -> bool:
        return (
            (self.since is None or event.at >= self.since)
            and (self.until is None or event.at < self.until)
            and self.tenant in (None, event.tenant)
            and self.route in (None, event.route)
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same of a row of `usage_events`."""
        events = usage_events.c
        found: list[ColumnElement[bool]] = []
        if self.since is not None:
            found.append(events.at >= self.since)
        if self.until is not None:
            found.append(events.at < self.until)
        if self.tenant is not None:
            found.append(events.tenant == self.tenant)
        if self.route is not None:
            found.append(events.route == self.route)
        return found

    def by_day(self, bounds: Bounds) -> Iterator[Span]:
        """This span, day by day, as far as its events reach."""
        begin = bounds.first
        while begin <= bounds.last:
            end = datetime(begin.year, begin.month, begin.day, tzinfo=UTC) + _DAY
            yield replace(self, since=begin, until=end if self.until is None else min(end, self.until))
            begin = end


class Bounds(NamedTuple):
    """When the first and the last event of a span were, in UTC."""

    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class SingleEvents:
    """`connection` sees one moment of the database; `spooled` are the events of the span that are not in it.

    Those have what single events are read for, and not the rest, which would be most of their size.
    """

    connection: AsyncConnection
    spooled: Sequence[UsageEvent]
    span: Span

    async def bounds(self) -> Bounds | None:
        """Of all events, in the database and in the spool; None where there are none."""
        at = usage_events.c.at
        query = select(func.min(at), func.max(at)).where(*self.span.conditions())
        stored = (await self.connection.execute(query)).one()
        moments = [moment for moment in (*stored, *(event.at for event in self.spooled)) if moment is not None]
        return Bounds(min(moments).astimezone(UTC), max(moments).astimezone(UTC)) if moments else None


@asynccontextmanager
async def single_events(database: Database, spool_folder: Path, span: Span) -> AsyncIterator[SingleEvents]:
    """Raises what `Database.prepare` raises."""
    await database.prepare()
    with spooled_in(spool_folder) as spooled:
        async with database.reading() as connection:
            waits = [_slim(event) async for some in spooled.unshipped(connection, span.holds) for event in some]
            yield SingleEvents(connection, waits, span)


def _slim(event: UsageEvent) -> UsageEvent:
    return UsageEvent(
        request_id=event.request_id,
        at=event.at,
        tenant=intern(event.tenant),
        key_id="",
        route=intern(event.route),
        endpoint=event.endpoint,
        requested_model="",
        model=intern(event.model),
        purpose=event.purpose,
        outcome=event.outcome,
        cost=event.cost,
        latency_ms=event.latency_ms,
        conversation=event.conversation,
        arm=event.arm,
    )
