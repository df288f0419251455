"""The catalogue: every model that is configured or was seen in traffic, what it does and costs, what to do next.

Ranked by cost times traffic: a dear model that nobody asks and a busy one that costs nothing both matter less. A
model is listed however it came up, also one that is configured no longer; what was spent on it is not forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from ledger.database import Database
from ledger.reports.catalogue import Catalogue, ListedModel
from ledger.reports.columns import Written, columns
from ledger.reports.document import Fact, Plot, Report, Table
from ledger.reports.latencies import quantiles, together
from ledger.reports.next_steps import EFFORTS, NOTICE, Step, next_steps
from ledger.reports.single_events import Span
from ledger.reports.traffic import Flow, Traffic, share, traffic

_TOLD = 3
_PLOTTED = 12
_NOBODY = ListedModel(upstream="")

_MODEL_COLUMNS: tuple[Written, ...] = (
    ("model", "text", "", False),
    ("owner", "text", "", False),
    ("requests", "count", "", False),
    ("cost", "usd", "cost $", False),
    ("flags", "text", "", False),
    ("share_of_cost", "share", "of cost", True),
    ("calls", "count", "", True),
    ("tokens", "count", "", True),
    ("p50_ms", "ms", "P50 ms", True),
    ("p95_ms", "ms", "P95 ms", True),
    ("p99_ms", "ms", "P99 ms", True),
    ("failed_calls", "share", "calls failed", True),
    ("routes", "text", "", True),
    ("upstream", "text", "", True),
    ("priced_by", "text", "price from", True),
    ("unpriced", "count", "", True),
    ("shutdown_date", "day", "turned off", True),
    ("configured", "text", "", True),
)
_ROUTE_COLUMNS: tuple[Written, ...] = (
    ("route", "text", "", False),
    ("requests", "count", "", False),
    ("hit_rate", "share", "hits", False),
    ("cost", "usd", "cost $", False),
    ("optimising", "usd", "optimising $", False),
    ("to_reference", "share", "to reference", True),
    ("failed", "share", "", True),
    ("p50_ms", "ms", "P50 ms", True),
    ("p95_ms", "ms", "P95 ms", True),
    ("p99_ms", "ms", "P99 ms", True),
    ("measured", "text", "", True),
)
_STEP_COLUMNS: tuple[Written, ...] = (
    ("step", "text", "", False),
    ("effort", "text", "", False),
    ("at_stake", "usd", "at stake $", False),
)


async def audit_report(
    database: Database, spool_folder: Path, span: Span, catalogue: Catalogue, today: date
) -> Report:
    """Of `span`. Shutdown dates are told of from 90 days before on, seen from `today`."""
    return report_of(await traffic(database, spool_folder, span), catalogue, today)


def report_of(found: Traffic, catalogue: Catalogue, today: date) -> Report:
    catalogue = found.concerns(catalogue)
    rows = _models(found, catalogue, today)
    steps = next_steps(found, catalogue, today)
    span = found.span
    return Report(
        name="audit",
        title="Models: who answers for them, what they do, what they cost",
        since=span.since,
        until=span.until,
        tenant=span.tenant,
        facts=_facts(found, rows),
        tables=[
            Table(name="models", heading="Models", columns=columns(_MODEL_COLUMNS), rows=rows, total=_total(found)),
            Table(name="routes", heading="Routes", columns=columns(_ROUTE_COLUMNS), rows=_routes(found, catalogue)),
            Table(
                name="steps", heading="All steps", columns=columns(_STEP_COLUMNS), rows=[_step(s) for s in steps]
            ),
        ],
        plots=_plots(rows),
        notes=_notes(found, rows),
        next_steps=[str(step) for step in steps[:_TOLD]],
    )


def _models(found: Traffic, catalogue: Catalogue, today: date) -> list[dict[str, Any]]:
    """Every model once, the weightiest first."""
    flows = dict.fromkeys(catalogue.models, Flow()) | dict(found.models)

    def weight(name: str) -> tuple[Any, ...]:
        whole = flows[name].whole
        traffic_of_it = max(whole.requests, whole.calls)
        return -whole.cost * traffic_of_it, -whole.cost, -traffic_of_it, name

    return [_model(name, flows[name], found, catalogue, today) for name in sorted(flows, key=weight)]


def _model(name: str, flow: Flow, found: Traffic, catalogue: Catalogue, today: date) -> dict[str, Any]:
    listed, whole = catalogue.models.get(name, _NOBODY), flow.whole
    took = quantiles(together(found.spread, model=name))
    return {
        "model": name,
        "owner": listed.owner or None,
        "requests": whole.requests,
        "cost": whole.cost,
        "flags": ", ".join(_flags(name, flow, catalogue, today)),
        "share_of_cost": share(whole.cost, found.total.whole.cost),
        "calls": whole.calls,
        "tokens": flow.tokens,
        **{f"{quantile}_ms": value for quantile, value in took.items()},
        "failed_calls": flow.failed_calls_share if whole.calls else None,
        "routes": catalogue.routes_of(name),
        "upstream": listed.upstream or None,
        "priced_by": listed.priced_by or None,
        "unpriced": whole.unpriced,
        "shutdown_date": listed.shutdown,
        "configured": name in catalogue.models,
    }


def _flags(name: str, flow: Flow, catalogue: Catalogue, today: date) -> list[str]:
    """What somebody should look at, in a few words each."""
    listed = catalogue.models.get(name)
    if listed is None:
        return ["not configured"]
    flags = [] if listed.owner else ["no owner"]
    if not listed.priced_by or flow.whole.unpriced:
        flags.append("no price")
    if listed.shutdown is not None and listed.shutdown <= today + NOTICE:
        flags.append("turned off" if listed.shutdown <= today else f"turned off {listed.shutdown}")
    if not flow.whole.calls and not flow.whole.requests:
        flags.append("unused")
    return flags


def _routes(found: Traffic, catalogue: Catalogue) -> list[dict[str, Any]]:
    """The dearest first."""
    return [
        _route(name, flow, found, catalogue)
        for name, flow in sorted(found.routes.items(), key=lambda item: (-item[1].whole.cost, item[0]))
    ]


def _route(name: str, flow: Flow, found: Traffic, catalogue: Catalogue) -> dict[str, Any]:
    served, listed = flow.served, catalogue.routes.get(name)
    reference = found.of(name, listed.reference).served if listed else None
    took = quantiles(together(found.spread, route=name))
    return {
        "route": name,
        "requests": served.requests,
        "hit_rate": served.hit_rate,
        "cost": served.cost,
        "optimising": flow.optimising,
        "to_reference": share(reference.requests - reference.hits, served.requests) if reference else None,
        "failed": flow.failed_share,
        **{f"{quantile}_ms": value for quantile, value in took.items()},
        "measured": listed.measured if listed else None,
    }


def _step(step: Step) -> dict[str, Any]:
    return {"step": step.what, "effort": EFFORTS[step.effort], "at_stake": step.at_stake or None}


def _total(found: Traffic) -> Mapping[str, Any]:
    whole = found.total.whole
    return {"requests": whole.requests, "cost": whole.cost, "calls": whole.calls, "tokens": found.total.tokens}


def _facts(found: Traffic, rows: Sequence[Mapping[str, Any]]) -> Sequence[Fact]:
    total = found.total

    def flagged(flag: str) -> int:
        return sum(flag in row["flags"] for row in rows)

    return [
        Fact(name="models_listed", heading="Models", value=len(rows), kind="count"),
        Fact(name="requests", heading="Requests of clients", value=total.served.requests, kind="count"),
        Fact(name="cost", heading="Spent", value=total.whole.cost, kind="usd"),
        Fact(name="optimising", heading="of it on optimising", value=total.optimising, kind="usd"),
        Fact(name="without_owner", heading="Without an owner", value=flagged("no owner"), kind="count"),
        Fact(name="without_price", heading="Without a price", value=flagged("no price"), kind="count"),
        Fact(name="turned_off", heading="Turned off soon", value=flagged("turned off"), kind="count"),
        Fact(name="not_configured", heading="Seen, not configured", value=flagged("not configured"), kind="count"),
    ]


def _plots(rows: Sequence[Mapping[str, Any]]) -> Sequence[Plot]:
    points = [(row["model"], float(row["cost"])) for row in rows if row["cost"]][:_PLOTTED]
    return [Plot(heading="Cost by model", kind="bars", unit="$", series={"cost": points})] if points else []


def _notes(found: Traffic, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = [
        "Models are ranked by cost x traffic. Cost stands with the model that was paid, whatever for; requests are "
        "counted with the model whose answer was delivered, from the cache too; calls are attempts.",
        "Latencies are those of clients' requests, hits included, within 2.5 %, of whole days in UTC.",
        "At stake is what was spent in this span on what a step is about. It is not what the step will save.",
        *found.notes,
    ]
    unanswered = sum(flow.served.requests for (_, model), flow in found.flows.items() if not model)
    if unanswered:
        notes.append(f"No model answered {unanswered:,} requests; they stand with no model.")
    unpriced = found.total.whole.unpriced
    if unpriced:
        notes.append(f"{unpriced:,} requests went to models without a price and count as $0.")
    if any("not configured" in row["flags"] for row in rows):
        notes.append("Models that are not configured were seen in this span and have left the configuration since.")
    if found.set_aside:
        notes.append(f"{found.set_aside:,} records could not be read or stored and are not counted.")
    return notes
