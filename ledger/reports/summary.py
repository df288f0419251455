"""One page for those who decide: what was spent and saved, whether answers got worse, what went wrong, what next.

Every figure that is an estimate has its interval; what was not measured says so, and how it could be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.money import ZERO, usd
from ledger.database import Database
from ledger.reports.catalogue import Catalogue
from ledger.reports.columns import Written, columns
from ledger.reports.document import Fact, Plot, Report, Table
from ledger.reports.incidents import MANY, Incident, incidents
from ledger.reports.latencies import quantiles, together
from ledger.reports.next_steps import Step, next_steps
from ledger.reports.quality import Quality
from ledger.reports.reading import Question, read
from ledger.reports.saving import Savings, measure
from ledger.reports.single_events import Span
from ledger.reports.traffic import Traffic, traffic

_TOP = 3
_MOST_INCIDENTS = 5
_MOST_DAYS = 62

_ROUTE_COLUMNS: tuple[Written, ...] = (
    ("route", "text", "", False),
    ("requests", "count", "", False),
    ("cost", "usd", "cost $", False),
    ("saving", "usd", "saved $", False),
    ("hit_rate", "share", "hits", False),
    ("failed", "share", "", True),
    ("p95_ms", "ms", "P95 ms", False),
)
_INCIDENT_COLUMNS: tuple[Written, ...] = (
    ("route", "text", "", False),
    ("begin", "time", "from (UTC)", False),
    ("hours", "count", "", False),
    ("worst", "share", "worst hour", False),
    ("failed", "count", "failed", False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What was found out. `days` is the cost of each day, all purposes."""

    traffic: Traffic
    savings: Savings
    incidents: Sequence[Incident]
    days: Mapping[date, Decimal]
    quality: Quality | None
    step: Step | None


async def summary_report(
    database: Database,
    spool_folder: Path,
    span: Span,
    catalogue: Catalogue,
    today: date,
    *,
    quality: Quality | None = None,
    confidence: float = 0.95,
) -> Report:
    """Of `span`. `quality` comes from an evaluation; `confidence` is that of the saving's interval."""
    found = await traffic(database, spool_folder, span)
    steps = next_steps(found, found.concerns(catalogue), today)
    return report_of(
        Summary(
            traffic=found,
            savings=await measure(database, spool_folder, span, confidence=confidence),
            incidents=await incidents(database, spool_folder, span),
            days=await _days(database, spool_folder, span),
            quality=quality,
            step=steps[0] if steps else None,
        )
    )


def report_of(found: Summary) -> Report:
    span = found.traffic.span
    told = found.incidents[:_MOST_INCIDENTS]
    more = len(found.incidents) - len(told)
    heading = "Hours in which many requests failed" + (f" (the worst; {more} more)" if more else "")
    return Report(
        name="summary",
        title="Weir: what it spent, saved and answered",
        since=span.since,
        until=span.until,
        tenant=span.tenant,
        facts=_facts(found),
        tables=[
            Table(
                name="routes",
                heading="The routes that cost most",
                columns=columns(_ROUTE_COLUMNS),
                rows=_routes(found),
            ),
            Table(
                name="incidents",
                heading=heading,
                columns=columns(_INCIDENT_COLUMNS),
                rows=[{name: getattr(incident, name) for name, *_ in _INCIDENT_COLUMNS} for incident in told],
                empty="None in this span.",
            ),
        ],
        plots=_plots(found),
        notes=_notes(found),
        next_steps=[str(found.step)] if found.step else [],
    )


def _facts(found: Summary) -> Sequence[Fact]:
    total, requests = found.traffic.total, found.traffic.total.served.requests
    each = usd(total.whole.cost * 1000 / requests) if requests else None
    took = quantiles(together(found.traffic.spread))
    hours = sum(incident.hours for incident in found.incidents)
    return [
        Fact(
            name="spend",
            heading="Spent",
            value=total.whole.cost,
            kind="usd",
            note=f"${each:,.2f} per 1,000 requests" if each is not None else "",
        ),
        *_saving(found.savings),
        *_quality(found.quality),
        Fact(name="p50_ms", heading="Half of answers within", value=took["p50"], kind="ms", note="P50"),
        Fact(name="p95_ms", heading="19 in 20 within", value=took["p95"], kind="ms", note="P95"),
        Fact(name="p99_ms", heading="99 in 100 within", value=took["p99"], kind="ms", note="P99"),
        Fact(name="requests", heading="Requests", value=requests, kind="count", note="of clients"),
        Fact(
            name="failed", heading="Failed", value=total.failed_share, kind="share", note="without a whole answer"
        ),
        Fact(
            name="incident_hours",
            heading="Hours with incidents",
            value=hours,
            kind="count",
            note=f"more than {MANY:.0%} failed",
        ),
    ]


def _saving(savings: Savings) -> Sequence[Fact]:
    total = savings.total
    if total is None:
        note = "not measured: turn on `counterfactual`"
        if any(route.drawn for route in savings.routes):
            note = "not enough measured yet to tell"
        return [Fact(name="saving", heading="Saved", value=None, kind="usd", note=note)]
    note = f"{savings.confidence:.0%} interval ${total.low:,.2f} to ${total.high:,.2f}"
    return [
        Fact(name="saving", heading="Saved", value=total.middle, kind="usd", note=note),
        Fact(name="saving_low", heading="", value=total.low, kind="usd"),
        Fact(name="saving_high", heading="", value=total.high, kind="usd"),
    ]


def _quality(quality: Quality | None) -> Sequence[Fact]:
    if quality is None:
        note = "not measured: give an evaluation's figures by --quality"
        return [Fact(name="quality", heading="Change in quality", value=None, kind="share", note=note)]
    note = f"{quality.low:+.1%} to {quality.high:+.1%}; {quality.source}"
    return [
        Fact(name="quality", heading="Change in quality", value=quality.difference, kind="share", note=note),
        Fact(name="quality_low", heading="", value=quality.low, kind="share"),
        Fact(name="quality_high", heading="", value=quality.high, kind="share"),
        Fact(name="quality_source", heading="", value=quality.source, kind="text"),
    ]


def _routes(found: Summary) -> list[dict[str, Any]]:
    saved = {route.route: route.saving.middle for route in found.savings.routes if route.saving is not None}
    dearest = sorted(found.traffic.routes.items(), key=lambda item: (-item[1].whole.cost, item[0]))[:_TOP]
    return [
        {
            "route": name,
            "requests": flow.served.requests,
            "cost": flow.whole.cost,
            "saving": saved.get(name),
            "hit_rate": flow.served.hit_rate,
            "failed": flow.failed_share,
            "p95_ms": quantiles(together(found.traffic.spread, route=name))["p95"],
        }
        for name, flow in dearest
    ]


def _plots(found: Summary) -> Sequence[Plot]:
    """Of a long span, the last days."""
    if not found.days:
        return []
    last = max(found.days)
    first = max(min(found.days), last - timedelta(days=_MOST_DAYS - 1))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    points = [(day, float(found.days.get(day, ZERO))) for day in days]
    return [Plot(heading="Spent by day", kind="bars", unit="$", series={"spent": points})]


def _notes(found: Summary) -> list[str]:
    notes = []
    if found.savings.total is not None:
        asked = [route for route in found.savings.routes if route.drawn or route.undrawn]
        unmeasured = [route.route for route in asked if route.saving is None]
        notes.append(
            "Saved: against the dear way, which lots choose for a small share of requests; before "
            f"${found.savings.optimising:,.2f} that optimising cost. See `weir report roi`."
        )
        if unmeasured:
            notes.append(f"Not in it, because not measured: {', '.join(unmeasured)}.")
    if found.traffic.total.whole.unpriced:
        notes.append(f"{found.traffic.total.whole.unpriced:,} requests have no price and count as $0.")
    return [*notes, *found.traffic.notes]


async def _days(database: Database, spool_folder: Path, span: Span) -> Mapping[date, Decimal]:
    question = Question(since=span.since, until=span.until, tenant=span.tenant, grain="day")
    found: dict[date, Decimal] = {}
    for cell, sums in (await read(database, spool_folder, question)).rows.items():
        if isinstance(cell.start, datetime):
            found[cell.start.date()] = found.get(cell.start.date(), ZERO) + sums.cost
    return found
