"""What routes save, measured: the usual way beside the dear one, to which lots send a small share of requests.

The saving is what the requests that went the usual way would have cost the dear way, less what they did cost:
their number times the difference of the two arms' means. Requests that were sent the dear way saved nothing and are
not counted as if they had; so what measuring costs is out of the saving already, and must not be taken off again.
The non-obvious decision: all requests of an arm count, failed ones too, because a way that fails costs less.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import case, func, select

from contracts.money import ZERO, usd
from contracts.records import DIRECT, UsageEvent
from ledger.backfill import pruned_before
from ledger.database import Database
from ledger.reports.bootstrap import Clusters, difference, interval
from ledger.reports.reading import floor
from ledger.reports.single_events import Bounds, SingleEvents, Span, single_events
from ledger.tables import usage_days, usage_events

_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_FINEST = Decimal("1e-6")
"""Dollars: an estimate has no more digits that say something."""
_SEED = "weir report roi"
_DEAR = "dear"
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class Arm:
    """What went one way: `failed` of its requests had no whole answer. `cost` in dollars."""

    requests: int = 0
    cost: Decimal = ZERO
    failed: int = 0

    def __add__(self, other: Arm) -> Arm:
        return Arm(self.requests + other.requests, self.cost + other.cost, self.failed + other.failed)

    @property
    def mean(self) -> Decimal | None:
        """Dollars a request; None where there were none."""
        return usd(self.cost / self.requests) if self.requests else None

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


_NOTHING = Arm()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Dollars, each an estimate and rounded as such."""

    low: Decimal
    middle: Decimal
    high: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSaving:
    """One route. `saving` None: the arms hold too little to tell, or no lots were drawn."""

    route: str
    usual: Arm = _NOTHING
    dear: Arm = _NOTHING
    undrawn: int = 0
    """Requests of clients for which no lot was drawn: nothing is known of what they saved."""
    optimising: Decimal = ZERO
    """What models were paid for anything but serving: audits, judges, checks, shadows, evaluations, training."""
    effective: float = 0.0
    """How many equal conversations the smaller arm's are worth: see `bootstrap.Clusters`."""
    grouped: bool = False
    saving: Interval | None = None
    draws: Sequence[float] = ()
    """Of the saving, for sums over routes."""

    @property
    def drawn(self) -> bool:
        return bool(self.usual.requests or self.dear.requests)

    @property
    def measuring(self) -> Decimal | None:
        """What the dear arm's requests would have saved, had they gone the usual way; None: not known."""
        if self.saving is None:
            return None
        return _fine(self.saving.middle * self.dear.requests / self.usual.requests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """All routes of a span, and the sum of those that could be measured."""

    span: Span
    confidence: float
    routes: Sequence[RouteSaving]
    bounds: Bounds | None
    gone_before: datetime | None = None
    """The span's single events of the days before were deleted, and lots are in nothing else. None: none were."""

    @property
    def measured(self) -> Sequence[RouteSaving]:
        return [route for route in self.routes if route.saving is not None]

    @property
    def total(self) -> Interval | None:
        """Routes draw their lots apart, so their draws are added up one by one; None where none is measured."""
        measured = self.measured
        if not measured:
            return None
        middle = sum((route.saving.middle for route in measured if route.saving is not None), start=ZERO)
        return _interval(middle, list(map(sum, zip(*(r.draws for r in measured), strict=True))), self.confidence)

    @property
    def optimising(self) -> Decimal:
        """Of all routes, measured or not."""
        return sum((route.optimising for route in self.routes), start=ZERO)


async def measure(database: Database, spool_folder: Path, span: Span, *, confidence: float = 0.95) -> Savings:
    """What was saved in `span`. `confidence` is that of the intervals, between 0.5 and 1."""
    found: _Tallies = defaultdict(_Tally)
    async with single_events(database, spool_folder, span) as events:
        bounds = await events.bounds()
        for day in span.by_day(bounds) if bounds else ():
            await _read_day(events, day, found)
        for event in events.spooled:
            _take(event, found)
        gone_before = await _gone_before(events)
    routes = [await asyncio.to_thread(_measured, name, found[name], confidence) for name in sorted(found)]
    return Savings(
        span=span,
        confidence=confidence,
        routes=routes,
        bounds=bounds,
        gone_before=gone_before,
    )


@dataclass(slots=True)
class _Tally:
    """What was read of a route so far."""

    arms: dict[str, Arm] = field(default_factory=dict)
    clusters: Clusters = field(default_factory=Clusters)
    undrawn: int = 0
    optimising: Decimal = ZERO

    def draw(self, cluster: str, arm: str, sums: Arm) -> None:
        self.arms[arm] = self.arms.get(arm, _NOTHING) + sums
        self.clusters.add(cluster, dear=arm == _DEAR, requests=sums.requests, dollars=float(sums.cost))


_Tallies = defaultdict[str, _Tally]


async def _read_day(events: SingleEvents, day: Span, found: _Tallies) -> None:
    columns = usage_events.c
    serve, drawn = columns.purpose == "serve", columns.arm != ""
    cluster = case((columns.conversation != "", columns.conversation), else_=columns.request_id)
    failed = func.sum(case((columns.outcome != "answered", 1), else_=0))
    sums: tuple[Any, ...] = (func.count(), func.sum(columns.cost), failed)
    by = (columns.route, cluster, columns.arm)
    arms = select(*by, *sums).where(serve, drawn, *day.conditions()).group_by(*by)
    async with events.connection.stream(arms) as rows:
        async for some in rows.partitions(_ROWS_AT_ONCE):
            for route, name, arm, requests, cost, failures in some:
                found[route].draw(name, arm, Arm(requests, cost, int(failures)))
    undrawn = select(columns.route, func.count()).where(serve, ~drawn, columns.route != DIRECT, *day.conditions())
    for route, requests in await events.connection.execute(undrawn.group_by(columns.route)):
        found[route].undrawn += requests
    others = select(columns.route, func.sum(columns.cost)).where(~serve, *day.conditions())
    for route, cost in await events.connection.execute(others.group_by(columns.route)):
        found[route].optimising += cost


async def _gone_before(events: SingleEvents) -> datetime | None:
    """Where single events of the span were deleted that the sums by day still have."""
    gone, days, span = await pruned_before(events.connection), usage_days.c, events.span
    if gone is None:
        return None
    query = select(days.start).where(days.start < gone).limit(1)
    for column, name in ((days.tenant, span.tenant), (days.route, span.route)):
        query = query if name is None else query.where(column == name)
    if span.since is not None:
        query = query.where(days.start >= floor(span.since, timedelta(days=1)))
    if span.until is not None:
        query = query.where(days.start < span.until)
    return None if (await events.connection.execute(query)).first() is None else gone


def _take(event: UsageEvent, found: _Tallies) -> None:
    """One event from the spool, counted as `_read_day` counts a row."""
    if event.purpose != "serve":
        found[event.route].optimising += usd(event.cost)
    elif event.arm:
        sums = Arm(1, usd(event.cost), int(event.outcome != "answered"))
        found[event.route].draw(event.conversation or event.request_id, event.arm, sums)
    elif event.route != DIRECT:
        found[event.route].undrawn += 1


def _measured(name: str, tally: _Tally, confidence: float) -> RouteSaving:
    usual, dear = tally.arms.get("usual", _NOTHING), tally.arms.get(_DEAR, _NOTHING)
    route = RouteSaving(
        route=name,
        usual=usual,
        dear=dear,
        undrawn=tally.undrawn,
        optimising=tally.optimising,
        effective=tally.clusters.effective,
        grouped=tally.clusters.grouped,
    )
    dearer = difference(tally.clusters, confidence, f"{_SEED}: {name}")
    if dearer is None:
        return route
    the_dear_way = _EXACT.divide(_EXACT.multiply(dear.cost, Decimal(usual.requests)), Decimal(dear.requests))
    draws = [usual.requests * draw for draw in dearer.draws]
    return replace(route, saving=_interval(usd(the_dear_way) - usual.cost, draws, confidence), draws=draws)


def _interval(middle: Decimal, draws: Sequence[float], confidence: float) -> Interval:
    low, high = (_fine(Decimal(bound)) for bound in interval(draws, confidence))
    return Interval(low=low, middle=_fine(middle), high=high)


def _fine(amount: Decimal) -> Decimal:
    return amount.quantize(_FINEST, context=_EXACT)
