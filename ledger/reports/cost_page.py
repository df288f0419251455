"""The cost report as a page: its columns, its facts, and what a reader has to know of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from contracts.money import ZERO, plain
from contracts.reporting import Shutdown
from ledger.reports.costs import TAG, CostReport, Line
from ledger.reports.document import Column, Fact, Kind, Plot, Report, Table

NAME = "costs"
_MOST_DRAWN = 7
"""Models with a colour of their own; the rest are drawn as one."""

FIGURES = (
    Column(name="requests", kind="count"),
    Column(name="hit_rate", kind="share", heading="hits"),
    Column(name="cost", kind="usd", heading="cost $"),
    Column(name="saved", kind="usd", heading="saved $"),
    Column(name="cost_per_1000", kind="usd", heading="per 1,000 $", wide=True),
    Column(name="avoided", kind="usd", heading="avoided $", wide=True),
    Column(name="failed", kind="count", wide=True),
    Column(name="prompt_tokens", kind="count", heading="prompt", wide=True),
    Column(name="completion_tokens", kind="count", heading="completion", wide=True),
    Column(name="cached_tokens", kind="count", heading="cached", wide=True),
    Column(name="estimated", kind="count", heading="estimated", wide=True),
    Column(name="unpriced", kind="count", wide=True),
    Column(name="other_cost", kind="usd", heading="not served $", wide=True),
    Column(name="hits", kind="count", heading="hit count", wide=True),
    Column(name="estimated_share", kind="share", heading="est. share", wide=True),
    Column(name="allocated", kind="usd", heading="allocated $", wide=True),
)
"""All that a row says. `allocated` is there where anything was."""


def cost_page(
    report: CostReport, by: Sequence[str], shutdowns: Sequence[Shutdown] = (), *, headlines: bool = False
) -> Report:
    """`report` cut by `by`. `shutdowns` are those that are near. `headlines`: begin with the totals, for a page."""
    total = report.total
    figures = [column for column in FIGURES if column.name != "allocated" or report.allocated]
    rows = Table(
        name="rows",
        heading="",
        columns=[*map(_dimension, by), *figures],
        rows=[dict(zip(by, place, strict=True)) | _values(line) for place, line in report.cut(by).items()],
        total=_values(total),
        empty="No requests in this span.",
    )
    return Report(
        name=NAME,
        title="What was spent and saved",
        since=report.since,
        until=report.until,
        tenant=report.tenant,
        facts=[*(_headlines(total) if headlines else ()), *_facts(report, by)],
        tables=[rows],
        plots=[_by_day(report)] if any(cell.start is not None for cell in report.rows) else [],
        notes=_notes(report, total, shutdowns),
    )


def _dimension(name: str) -> Column:
    kinds: dict[str, Kind] = {"day": "day", "hour": "time"}
    return Column(name=name, kind=kinds.get(name, "text"), heading=name.removeprefix(TAG))


def _values(line: Line) -> dict[str, Any]:
    whole, served = line.whole, line.served
    return {
        "requests": line.requests,
        "hit_rate": line.hit_rate,
        "cost": line.cost,
        "saved": whole.saved,
        "avoided": whole.avoided,
        "cost_per_1000": line.cost_per_1000,
        "other_cost": line.other_cost,
        "hits": served.hits,
        "failed": served.failed,
        "prompt_tokens": whole.prompt_tokens,
        "completion_tokens": whole.completion_tokens,
        "cached_tokens": whole.cached_tokens,
        "estimated": whole.estimated,
        "estimated_share": line.estimated_share,
        "unpriced": whole.unpriced,
        "allocated": line.allocated,
    }


def _headlines(total: Line) -> list[Fact]:
    whole = total.whole
    return [
        Fact(name="requests", heading="Requests", value=total.requests, kind="count"),
        Fact(name="cost", heading="Spent", value=total.cost, kind="usd"),
        Fact(name="cost_per_1000", heading="For 1,000 requests", value=total.cost_per_1000, kind="usd"),
        Fact(name="hit_rate", heading="Answered from the cache", value=total.hit_rate, kind="share"),
        Fact(name="saved", heading="Saved by the cache", value=whole.saved, kind="usd"),
        Fact(
            name="avoided", heading="Avoided", value=whole.avoided, kind="usd", note="by price list, not measured"
        ),
    ]


def _facts(report: CostReport, by: Sequence[str]) -> list[Fact]:
    """Those without a heading are in JSON only: the table's total says the rest."""
    return [
        Fact(name="by", heading="", value=list(by), kind="text"),
        Fact(name="set_aside", heading="", value=report.set_aside, kind="count"),
        Fact(name="allocated", heading="", value=sum(report.allocated.values(), start=ZERO), kind="usd"),
    ]


def _notes(report: CostReport, total: Line, shutdowns: Sequence[Shutdown]) -> list[str]:
    notes = list(report.notes)
    whole = total.whole
    if total.other_cost:
        notes.append(
            f"${plain(total.other_cost)} of the cost was spent on other purposes than to answer clients, such as "
            "judging and auditing: --by purpose. Requests count those of clients."
        )
    if whole.estimated:
        notes.append(f"Tokens of {whole.estimated:,} calls ({total.estimated_share:.1%}) were estimated.")
    if whole.unpriced:
        notes.append(
            f"{whole.unpriced:,} calls of models without a price count as 0 dollars: `weir prices list` names them."
        )
    if whole.avoided:
        notes.append("What was avoided is by price list, against the route's reference; it is not measured.")
    if report.allocated:
        idle = sum(report.allocated.values(), start=ZERO)
        notes.append(
            "Allocated: what a tenant's route spent on other purposes is borne by the requests it served, in "
            "proportion to their cost"
            + (
                f"; ${plain(idle)} for idle GPUs by those who used them, likewise, or by no tenant."
                if idle
                else "."
            )
        )
        notes.append(
            "Hits from a pool that tenants share cost their reader nothing: who wrote the answer paid for it. The "
            "ledger does not know who that was, so it is not allocated."
        )
    for gone in shutdowns:
        routes = f"; used by {', '.join(gone.routes)}" if gone.routes else ""
        notes.append(f"{gone.model} is turned off on {gone.day:%Y-%m-%d} ({gone.source}){routes}.")
    if report.set_aside:
        notes.append(
            f"{report.set_aside} records that could not be read or stored are not counted: rejected.jsonl in the "
            "spool's folder says why."
        )
    return notes


def _by_day(report: CostReport) -> Plot:
    """Cost by day, stacked by model; the dearest have colours of their own. Idle hours are of no day."""
    cut = {place: line for place, line in report.cut(("day", "model")).items() if place[0] is not None}
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for (_, model), line in cut.items():
        costs[model] += line.cost
    dearest = sorted(costs, key=lambda model: (-costs[model], model))[:_MOST_DRAWN]
    drawn: dict[str, dict[Any, Decimal]] = {model or "-": {} for model in dearest}
    if len(costs) > len(dearest):
        drawn["others"] = {}
    for (day, model), line in cut.items():
        series = drawn[model or "-"] if model in dearest else drawn["others"]
        series[day] = series.get(day, ZERO) + line.cost
    return Plot(heading="Cost by day, in dollars", kind="bars", unit="$", series=_filled(drawn))


def _filled(series: Mapping[str, Mapping[Any, Decimal]]) -> dict[str, list[tuple[Any, Decimal]]]:
    """With the same days in all of them, in order."""
    days = sorted({day for points in series.values() for day in points})
    return {name: [(day, points.get(day, ZERO)) for day in days] for name, points in series.items()}
