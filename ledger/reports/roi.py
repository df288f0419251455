"""Return on investment: the measured saving, less all that optimising costs, against what it took to get there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.money import ZERO
from ledger.database import Database
from ledger.reports.columns import Written, columns
from ledger.reports.document import Fact, Plot, Report, Table
from ledger.reports.roi_cases import Case, cases, days_of, running
from ledger.reports.roi_notes import next_steps_of, notes_of
from ledger.reports.saving import RouteSaving, Savings, measure
from ledger.reports.single_events import Span
from ledger.reports.what_if import Stated

_CENT = Decimal("0.01")
_FINE = Decimal("1e-9")


async def roi_report(
    database: Database,
    spool_folder: Path,
    span: Span,
    *,
    drawing: Mapping[str, bool] | None = None,
    stated: Stated | None = None,
    confidence: float = 0.95,
) -> Report:
    """What was saved in `span`, with an interval, and what that is worth.

    `drawing`: the configured routes, and whether lots are drawn on them now. `confidence`: see `measure`.
    """
    savings = await measure(database, spool_folder, span, confidence=confidence)
    return report_of(savings, stated or Stated(), drawing or {})


def report_of(savings: Savings, stated: Stated, drawing: Mapping[str, bool]) -> Report:
    found = cases(savings, stated)
    span = savings.span
    return Report(
        name="roi",
        title="Return on investment, against a measured counterfactual",
        since=span.since,
        until=span.until,
        tenant=span.tenant,
        facts=_facts(savings, found, stated),
        tables=[_routes(savings), _cases(found, savings, stated), _balance(savings, stated)],
        plots=_plots(savings),
        notes=notes_of(savings, stated),
        next_steps=next_steps_of(savings, drawing),
    )


def _facts(savings: Savings, found: Sequence[Case], stated: Stated) -> Sequence[Fact]:
    total = savings.total
    if total is None or not found:
        return [Fact(name="saving", heading="Saved", value=None, kind="usd", note="not enough measured to tell")]
    low, middle, _ = found
    between = f"{savings.confidence:.0%} interval ${_cents(total.low)} to ${_cents(total.high)}"
    worth = middle.worth
    return [
        Fact(name="saving", heading="Saved", value=total.middle, kind="usd", note=between),
        Fact(name="saving_low", heading="", value=total.low, kind="usd"),
        Fact(name="saving_high", heading="", value=total.high, kind="usd"),
        Fact(name="confidence", heading="", value=savings.confidence, kind="share"),
        Fact(name="optimising", heading="Spent on optimising", value=savings.optimising, kind="usd"),
        Fact(
            name="net",
            heading="Net saving",
            value=middle.net,
            kind="usd",
            note=f"in {days_of(savings):f} days; conservative: ${_cents(low.net)}",
        ),
        Fact(name="days", heading="", value=float(days_of(savings)), kind="count"),
        Fact(
            name="annual_net",
            heading="Net saving a year",
            value=worth.annual_net.quantize(_CENT),
            kind="usd",
            note="at this rate",
        ),
        Fact(name="implementation_cost", heading="Implementation", value=worth.implementation_cost, kind="usd"),
        Fact(name="annual_roi", heading="Annual ROI", value=_number(worth.annual_roi), kind="share"),
        Fact(name="payback_months", heading="Payback in months", value=_number(worth.payback_months), kind="count"),
        Fact(name="years", heading="", value=float(stated.years), kind="count"),
    ]


_ROUTE_COLUMNS: tuple[Written, ...] = (
    ("route", "text", "", False),
    ("usual", "count", "", True),
    ("dear", "count", "", True),
    ("mean_usual", "usd", "mean usual $", True),
    ("mean_dear", "usd", "mean dear $", True),
    ("saving", "usd", "saved $", False),
    ("low", "usd", "from $", False),
    ("high", "usd", "to $", False),
    ("optimising", "usd", "optimising $", False),
    ("conversations", "count", "", True),
    ("failed_usual", "share", "failed usual", True),
    ("failed_dear", "share", "failed dear", True),
    ("undrawn", "count", "", True),
    ("verdict", "text", "", False),
)


def _routes(savings: Savings) -> Table:
    rows = [_row(route) for route in savings.routes]
    total = savings.total
    sums: dict[str, Any] | None = None
    if total is not None:
        arms = {
            "usual": [r.usual.requests for r in savings.routes],
            "dear": [r.dear.requests for r in savings.routes],
        }
        sums = {name: sum(requests) for name, requests in arms.items()}
        sums |= {"saving": total.middle, "low": total.low, "high": total.high, "optimising": savings.optimising}
    return Table(name="routes", heading="By route", columns=columns(_ROUTE_COLUMNS), rows=rows, total=sums)


def _row(route: RouteSaving) -> Mapping[str, Any]:
    saving = route.saving
    return {
        "route": route.route,
        "usual": route.usual.requests,
        "dear": route.dear.requests,
        "mean_usual": route.usual.mean,
        "mean_dear": route.dear.mean,
        "saving": saving and saving.middle,
        "low": saving and saving.low,
        "high": saving and saving.high,
        "optimising": route.optimising,
        "conversations": round(route.effective),
        "failed_usual": route.usual.failed_share if route.usual.requests else None,
        "failed_dear": route.dear.failed_share if route.dear.requests else None,
        "undrawn": route.undrawn,
        "verdict": verdict_of(route),
    }


def verdict_of(route: RouteSaving) -> str:
    """Whether the route's saving is known, in a few words."""
    if route.saving is not None:
        return "saves" if route.saving.low > 0 else "costs more" if route.saving.high < 0 else "no saving shown"
    return "not enough" if route.drawn else "not measured"


_CASE_COLUMNS: tuple[Written, ...] = (
    ("case", "text", "", False),
    ("saving", "usd", "saved $", False),
    ("optimising", "usd", "optimising $", True),
    ("running", "usd", "running $", True),
    ("net", "usd", "net $", False),
    ("annual_net", "usd", "a year $", False),
    ("first_year_net", "usd", "first year $", True),
    ("annual_roi", "share", "annual ROI", False),
    ("payback_months", "count", "payback months", False),
)


def _cases(found: Sequence[Case], savings: Savings, stated: Stated) -> Table:
    rows = [
        {
            "case": case.name,
            "saving": case.saving,
            "optimising": savings.optimising,
            "running": _fine(running(savings, stated)),
            "net": _fine(case.net),
            "annual_net": case.worth.annual_net.quantize(_CENT),
            "first_year_net": case.worth.first_year_net.quantize(_CENT),
            "annual_roi": _number(case.worth.annual_roi),
            "payback_months": _number(case.worth.payback_months),
        }
        for case in found
    ]
    return Table(name="cases", heading="Three readings", columns=columns(_CASE_COLUMNS), rows=rows)


def _balance(savings: Savings, stated: Stated) -> Table:
    """From what could have been saved at most to what was left, step by step."""
    shape = columns((("step", "text", "", False), ("amount", "usd", "$", False)))
    total = savings.total
    if total is None:
        return Table(name="balance", heading="How the net saving comes about", columns=shape, rows=[])
    measuring = sum((route.measuring or ZERO for route in savings.measured), start=ZERO)
    steps = (
        ("saved, had no request been sent the dear way", total.middle + measuring),
        ("less what measuring cost: the dear way's requests", -measuring),
        ("saved", total.middle),
        ("less audits, judges, checks, shadows, evaluations, training", -savings.optimising),
        ("less stated running costs", -running(savings, stated)),
        ("net saving", total.middle - savings.optimising - running(savings, stated)),
    )
    rows = [{"step": step, "amount": _fine(amount)} for step, amount in steps]
    return Table(name="balance", heading="How the net saving comes about", columns=shape, rows=rows)


def _plots(savings: Savings) -> Sequence[Plot]:
    points = [
        (route.route, (float(route.saving.low), float(route.saving.middle), float(route.saving.high)))
        for route in savings.routes
        if route.saving is not None
    ]
    heading = f"Saved by route, with {savings.confidence:.0%} intervals"
    return [Plot(heading=heading, kind="intervals", unit="$", series={"saved": points})] if points else []


def _cents(amount: Decimal) -> str:
    """For texts; below a dollar, more digits."""
    return f"{amount:,.2f}" if abs(amount) >= 1 else f"{amount.quantize(_FINE).normalize():f}"


def _fine(amount: Decimal) -> Decimal:
    """Digits beyond a billionth of a dollar say nothing in an estimate."""
    return amount.quantize(_FINE)


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)
