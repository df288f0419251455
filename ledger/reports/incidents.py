"""Hours in which many requests of a route failed. Hours that follow each other are one incident.

An hour counts where more than one request in twenty had no whole answer; one with few requests does not, because
there a single client's mistake would be an incident.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select

from ledger.backfill import summed_up
from ledger.database import Database
from ledger.reports.single_events import SingleEvents, Span, single_events
from ledger.tables import usage_events, usage_hours

MANY = 0.05
"""Share of failed requests from which on an hour counts."""
ENOUGH = 20
"""Requests that an hour must have."""
_HOUR = timedelta(hours=1)
_ROWS_AT_ONCE = 2000


@dataclass(slots=True)
class Hour:
    """Requests of clients, and those of them without a whole answer."""

    requests: int = 0
    failed: int = 0

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """`hours` from `begin` on (UTC). `worst` is the failed share of its worst hour."""

    route: str
    begin: datetime
    hours: int
    worst: float
    failed: int


Hours = Mapping[tuple[str, datetime], Hour]
"""By route and the hour's begin."""


async def incidents(database: Database, spool_folder: Path, span: Span) -> Sequence[Incident]:
    """Of `span`, by whole hours: the worst first."""
    found: defaultdict[tuple[str, datetime], Hour] = defaultdict(Hour)
    async with single_events(database, spool_folder, span) as events:
        if await summed_up(events.connection):
            await _read_hours(events, found)
        else:
            await _read_events(events, found)
        for event in events.spooled:
            if event.purpose == "serve":
                _count(found[event.route, _hour(event.at)], event.outcome)
    return gathered(found)


def gathered(hours: Hours) -> list[Incident]:
    """What is said at the top of the hours that count, joined: the worst first."""
    found: list[Incident] = []
    for (route, begin), hour in sorted(hours.items()):
        if hour.requests < ENOUGH or hour.failed_share <= MANY:
            continue
        last = found[-1] if found else None
        if last is not None and last.route == route and last.begin + last.hours * _HOUR == begin:
            found[-1] = Incident(
                route=route,
                begin=last.begin,
                hours=last.hours + 1,
                worst=max(last.worst, hour.failed_share),
                failed=last.failed + hour.failed,
            )
        else:
            found.append(Incident(route=route, begin=begin, hours=1, worst=hour.failed_share, failed=hour.failed))
    return sorted(found, key=lambda incident: (-incident.failed, incident.begin, incident.route))


async def _read_hours(events: SingleEvents, found: defaultdict[tuple[str, datetime], Hour]) -> None:
    """All hours with failures: few of them count, but the spool may have more of theirs."""
    columns, span = usage_hours.c, events.span
    by = (columns.route, columns.start)
    requests, failed = func.sum(columns.requests), func.sum(columns.failed)
    query = select(*by, requests, failed).where(columns.purpose == "serve").group_by(*by)
    if span.since is not None:
        query = query.where(columns.start >= _hour(span.since))
    if span.until is not None:
        query = query.where(columns.start < span.until)
    for column, name in ((columns.tenant, span.tenant), (columns.route, span.route)):
        query = query if name is None else query.where(column == name)
    spooled = {(event.route, _hour(event.at)) for event in events.spooled}
    for route, start, count, failures in await events.connection.execute(query):
        if failures or (route, start) in spooled:
            found[route, start] = Hour(int(count), int(failures))


async def _read_events(events: SingleEvents, found: defaultdict[tuple[str, datetime], Hour]) -> None:
    columns = usage_events.c
    query = select(columns.route, columns.at, columns.outcome).where(columns.purpose == "serve")
    query = query.where(*events.span.conditions())
    async with events.connection.stream(query) as rows:
        async for some in rows.partitions(_ROWS_AT_ONCE):
            for route, at, outcome in some:
                _count(found[route, _hour(at)], outcome)


def _count(hour: Hour, outcome: str) -> None:
    hour.requests += 1
    hour.failed += outcome != "answered"


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
