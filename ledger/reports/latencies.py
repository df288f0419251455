"""How long requests took, by route and model, from the spread that is kept by day.

Only requests of clients count. Days are whole, in UTC: a span that begins or ends inside one has all of it. While
the roll-ups are still being built, single events are read instead, and then the span is exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select

from ledger.backfill import summed_up
from ledger.database import Database
from ledger.reports.single_events import SingleEvents, Span, single_events
from ledger.rollups import bucket_of, quantile_of
from ledger.tables import usage_events, usage_latencies

Buckets = Mapping[int, int]
"""Requests by class of latency: see `rollups.bucket_of`."""
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}
_ROWS_AT_ONCE = 2000


async def latencies(database: Database, spool_folder: Path, span: Span) -> Mapping[tuple[str, str], Buckets]:
    """By route and model; the model is empty where none answered."""
    found: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    async with single_events(database, spool_folder, span) as events:
        if await summed_up(events.connection):
            await _read_days(events, found)
        else:
            await _read_events(events, found)
        for event in events.spooled:
            if event.purpose == "serve":
                found[event.route, event.model][bucket_of(event.latency_ms)] += 1
    return found


def quantiles(buckets: Buckets) -> dict[str, float | None]:
    """`p50`, `p95` and `p99` in milliseconds, each within 2.5 %; None where there were no requests."""
    return {name: quantile_of(buckets, share) for name, share in QUANTILES.items()}


def together(found: Mapping[tuple[str, str], Buckets], *, route: str = "", model: str = "") -> Buckets:
    """Of all places, or of one route or model."""
    total: Counter[int] = Counter()
    for (its_route, its_model), buckets in found.items():
        if route in ("", its_route) and model in ("", its_model):
            total.update(buckets)
    return total


async def _read_days(events: SingleEvents, found: defaultdict[tuple[str, str], Counter[int]]) -> None:
    columns, span = usage_latencies.c, events.span
    by = (columns.route, columns.model, columns.bucket)
    query = select(*by, func.sum(columns.requests)).where(columns.purpose == "serve").group_by(*by)
    if span.since is not None:
        query = query.where(columns.start >= _day(span.since))
    if span.until is not None:
        query = query.where(columns.start < span.until)
    for column, name in ((columns.tenant, span.tenant), (columns.route, span.route)):
        query = query if name is None else query.where(column == name)
    for route, model, bucket, requests in await events.connection.execute(query):
        found[route, model][bucket] += int(requests)


async def _read_events(events: SingleEvents, found: defaultdict[tuple[str, str], Counter[int]]) -> None:
    columns = usage_events.c
    query = select(columns.route, columns.model, columns.latency_ms).where(columns.purpose == "serve")
    query = query.where(*events.span.conditions())
    async with events.connection.stream(query) as rows:
        async for some in rows.partitions(_ROWS_AT_ONCE):
            for route, model, latency_ms in some:
                found[route, model][bucket_of(latency_ms)] += 1


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
