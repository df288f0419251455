"""What was spent and saved, per tenant, route and model.

Exact at any moment, also while servers run or after one was killed: what is in the database, and what is still
in the spool. The order matters. The spool is read first, so an event that is shipped in the meantime is found in
the database; there, all questions are asked of one snapshot, so the events already shipped can be told apart.
Every cut is added up from the same finest rows, so that all cuts have the same total.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.money import ZERO, usd
from contracts.records import UsageEvent
from ledger.database import Database
from ledger.spool import set_aside, waiting
from ledger.tables import usage_events

Dimension = Literal["tenant", "route", "model"]
DIMENSIONS: tuple[Dimension, ...] = ("tenant", "route", "model")
_IDS_AT_ONCE = 1000

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What can be added up. Tokens are those an upstream billed: a cached answer's are not counted again."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """The part of `prompt_tokens` that providers read from their own caches."""
    cost: Decimal = ZERO
    saved: Decimal = ZERO
    hits: int = 0
    """Answered from Weir's cache, exact or semantic."""
    failed: int = 0
    """Requests without a whole answer."""
    estimated: int = 0
    """Requests whose tokens had to be estimated."""

    def __add__(self, other: Sums) -> Sums:
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in _SUMS})

    @property
    def hit_rate(self) -> float:
        """Share of requests answered from the cache; 0 where there were none."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def estimated_share(self) -> float:
        """Share of requests whose tokens were estimated; 0 where there were none."""
        return self.estimated / self.requests if self.requests else 0.0


_SUMS = tuple(field.name for field in fields(Sums))
_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens")
_MONEY = ("cost", "saved")
_HITS = ("exact", "semantic")


@dataclass(frozen=True, slots=True)
class CostReport:
    """`rows` by (tenant, route, model), sorted. `set_aside` counts records that no report can hold (see Spool)."""

    rows: Mapping[Place, Sums]
    since: datetime | None
    until: datetime | None
    tenant: str | None
    set_aside: int

    @property
    def total(self) -> Sums:
        return sum(self.rows.values(), start=Sums())

    def cut(self, by: Sequence[Dimension]) -> dict[Place, Sums]:
        """The rows added up by some dimensions, in the order given. Every cut has the same total."""
        places = [DIMENSIONS.index(dimension) for dimension in by]
        found: dict[Place, Sums] = {}
        for place, sums in self.rows.items():
            part = tuple(place[index] for index in places)
            found[part] = found[part] + sums if part in found else sums
        return dict(sorted(found.items()))


async def cost_report(
    database: Database,
    spool_folder: Path,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
) -> CostReport:
    """Everything from `since` on and before `until` (aware times; None: no bound), of one tenant or of all."""
    await database.prepare()
    span = _Span(since, until, tenant)
    spooled, aside = await asyncio.to_thread(_spooled, spool_folder, span)
    async with database.reading() as connection:
        found = await _stored(connection, span)
        for event_id in await _shipped(connection, list(spooled)):
            del spooled[event_id]
    for place, sums in spooled.values():
        found[place] = found[place] + sums if place in found else sums
    return CostReport(dict(sorted(found.items())), since, until, tenant, aside)


@dataclass(frozen=True, slots=True)
class _Span:
    since: datetime | None
    until: datetime | None
    tenant: str | None

    def holds(self, event: UsageEvent) -> bool:
        return (
            (self.since is None or event.at >= self.since)
            and (self.until is None or event.at < self.until)
            and (self.tenant is None or event.tenant == self.tenant)
        )

    def conditions(self) -> list[ColumnElement[bool]]:
        found = []
        if self.since is not None:
            found.append(usage_events.c.at >= self.since)
        if self.until is not None:
            found.append(usage_events.c.at < self.until)
        if self.tenant is not None:
            found.append(usage_events.c.tenant == self.tenant)
        return found


def _spooled(folder: Path, span: _Span) -> tuple[dict[str, tuple[Place, Sums]], int]:
    """By request id, each event in the spool with its place; and how many records were set aside for good."""
    events = {event.request_id: (_place(event), _sums(event)) for event in waiting(folder) if span.holds(event)}
    return events, set_aside(folder)


def _place(event: UsageEvent) -> Place:
    return event.tenant, event.route, event.model


def _sums(event: UsageEvent) -> Sums:
    """One event, counted as `_query` counts a row."""
    billed = event.usage.source != "cache"
    return Sums(
        requests=1,
        prompt_tokens=event.usage.prompt if billed else 0,
        completion_tokens=event.usage.completion if billed else 0,
        cached_tokens=event.usage.cached if billed else 0,
        cost=usd(event.cost),
        saved=usd(event.saved),
        hits=int(event.verdict.kind in _HITS),
        failed=int(event.outcome != "answered"),
        estimated=int(event.usage.source == "estimated"),
    )


def _query(span: _Span) -> Select[Any]:
    events = usage_events.c
    places = [events[dimension] for dimension in DIMENSIONS]
    billed = events.usage_source != "cache"
    return (
        select(
            *places,
            func.count().label("requests"),
            *(_sum_where(billed, events[name]).label(name) for name in _TOKENS),
            func.sum(events.cost).label("cost"),
            func.sum(events.saved).label("saved"),
            _sum_where(events.verdict.in_(_HITS), 1).label("hits"),
            _sum_where(events.outcome != "answered", 1).label("failed"),
            _sum_where(events.usage_source == "estimated", 1).label("estimated"),
        )
        .where(*span.conditions())
        .group_by(*places)
    )


def _sum_where(condition: ColumnElement[bool], value: ColumnElement[int] | int) -> ColumnElement[int]:
    return func.sum(case((condition, value), else_=0))


async def _stored(connection: AsyncConnection, span: _Span) -> dict[Place, Sums]:
    found: dict[Place, Sums] = {}
    for row in (await connection.execute(_query(span))).mappings():
        values: dict[str, Any] = {name: row[name] if name in _MONEY else int(row[name]) for name in _SUMS}
        found[tuple(row[dimension] for dimension in DIMENSIONS)] = Sums(**values)
    return found


async def _shipped(connection: AsyncConnection, request_ids: Sequence[str]) -> list[str]:
    """Those of `request_ids` that are in the database."""
    found: list[str] = []
    for start in range(0, len(request_ids), _IDS_AT_ONCE):
        some = request_ids[start : start + _IDS_AT_ONCE]
        query = select(usage_events.c.request_id).where(usage_events.c.request_id.in_(some))
        found.extend((await connection.execute(query)).scalars())
    return found
