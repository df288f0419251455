"""The catalogue of models and its next steps, by hand and from the ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.records import AttemptRecord, UsageEvent, Verdict
from contracts.usage import TokenUsage
from ledger.database import Database
from ledger.reports.audit import audit_report, report_of
from ledger.reports.catalogue import Catalogue, ListedModel, ListedRoute
from ledger.reports.document import Report
from ledger.reports.formats.as_json import to_json
from ledger.reports.next_steps import next_steps
from ledger.reports.single_events import Span
from ledger.reports.traffic import Flow, Traffic
from ledger.rollups import Sums
from ledger.spool import Spool
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
TODAY = date(2026, 11, 25)
D = Decimal

MODEL = ListedModel(upstream="openai", owner="Ada", priced_by="config")
ROUTE = ListedRoute(candidates=("large", "small"), reference="large", semantic=True, learned=True, measured=True)
TIDY = Catalogue(models={"large": MODEL, "small": MODEL}, routes={"support": ROUTE})
"""Nothing to say about it."""


def sums(requests: int = 0, cost: int | str = 0, **changes: Any) -> Sums:
    return Sums(requests=requests, cost=D(cost), calls=requests, **changes)


def flow(requests: int, cost: int | str, optimising: int | str = 0, **changes: Any) -> Flow:
    served = sums(requests, cost, **changes)
    return Flow(served + Sums(cost=D(optimising)), served)


def seen(**flows: Flow) -> Traffic:
    """On the route `support`, by model."""
    return Traffic(span=Span(), flows={("support", model): flow for model, flow in flows.items()})


def with_route(**changes: Any) -> Catalogue:
    return replace(TIDY, routes={"support": replace(ROUTE, **changes)})


def with_model(name: str, **changes: Any) -> Catalogue:
    return replace(TIDY, models={**TIDY.models, name: replace(MODEL, **changes)})


def steps(found: Traffic, catalogue: Catalogue) -> list[str]:
    return [str(step) for step in next_steps(found, catalogue, TODAY)]


USUAL = seen(large=flow(820, 82, prompt_tokens=82_000), small=flow(180, 2, prompt_tokens=18_000))


def test_nothing_to_do_where_all_is_well() -> None:
    assert steps(USUAL, TIDY) == []


@pytest.mark.parametrize(
    ("catalogue", "step"),
    [
        (
            with_route(measured=False),
            "Turn on routes.support.counterfactual: what the route saves is not measured. "
            "(one setting; $84.00 at stake)",
        ),
        (
            with_route(cached=False),
            "Turn on routes.support.cache: none of its 1,000 requests is answered from it. "
            "(one setting; $84.00 at stake)",
        ),
        (
            with_route(learned=False),
            "Route support sends 82% of its 1,000 requests to large: train a policy that keeps the easy ones on "
            "small (weir router train). (some days; $82.00 at stake)",
        ),
        (
            with_route(learned=False, candidates=("large",)),
            "Route support sends 82% of its 1,000 requests to large, its only candidate: give it a cheaper one for "
            "the easy ones. (some days; $82.00 at stake)",
        ),
        (
            with_model("small", owner=""),
            "Name who answers for small: models.NAME.owner. (one setting; no known sum at stake)",
        ),
        (
            with_model("small", shutdown=date(2027, 1, 14)),
            "Replace small, which is turned off on 2027-01-14: support may choose it. (some hours; $2.00 at stake)",
        ),
        (
            with_model("small", shutdown=TODAY),
            "Replace small, which was turned off on 2026-11-25: support may choose it. "
            "(some hours; $2.00 at stake)",
        ),
    ],
)
def test_each_step_by_its_figures(catalogue: Catalogue, step: str) -> None:
    assert steps(USUAL, catalogue) == [step]


@pytest.mark.parametrize(
    ("found", "catalogue", "step"),
    [
        (
            seen(large=flow(1000, 60, hits=400)),
            with_route(semantic=False),
            "Turn on routes.support.cache.semantic: 40% of its 1,000 requests repeat a question word for word, and "
            "others ask it in other words. (one setting; $60.00 at stake)",
        ),
        (
            seen(large=flow(1000, 60, optimising=30)),
            TIDY,
            "Lower what is audited, judged and shadowed on route support: it costs 50% of what serving costs. "
            "(one setting; $30.00 at stake)",
        ),
        (
            seen(large=flow(1000, 60, failed_calls=80)),
            TIDY,
            "See why 8% of 1,000 calls to large fail: its limits, its deadline, or its provider. "
            "(some hours; $60.00 at stake)",
        ),
        (
            seen(large=flow(1000, 0, unpriced=1000)),
            TIDY,
            "State models.large.price: 1,000 requests to it count as $0. (one setting; no known sum at stake)",
        ),
    ],
)
def test_each_step_by_the_traffic(found: Traffic, catalogue: Catalogue, step: str) -> None:
    assert steps(found, catalogue) == [step]


def test_no_step_without_need() -> None:
    far = with_model("small", shutdown=TODAY + timedelta(days=91))
    assert steps(USUAL, far) == []
    assert steps(seen(large=flow(1000, 60, hits=40)), with_route(semantic=False)) == [], "hardly any repeat"
    assert steps(seen(large=flow(99, 6, failed_calls=50)), TIDY) == [], "too few calls to tell"
    assert steps(seen(large=flow(400, 40), small=flow(600, 6)), with_route(learned=False)) == []
    cheap = seen(small=flow(900, 9, prompt_tokens=90_000), large=flow(100, 90, prompt_tokens=9_000))
    assert steps(cheap, with_route(learned=False, reference="small")) == [], "the others are dearer"
    unused = replace(TIDY, models={**TIDY.models, "new": ListedModel(upstream="openai", priced_by="config")})
    assert steps(USUAL, unused) == [], "nobody has to answer for what is not used"


def test_the_cheapest_first_then_the_money_and_what_has_a_near_date_before_all() -> None:
    catalogue = Catalogue(
        models={
            "large": replace(MODEL, shutdown=TODAY + timedelta(days=80)),
            "small": replace(MODEL, owner="", shutdown=TODAY + timedelta(days=20)),
        },
        routes={"support": replace(ROUTE, measured=False, learned=False)},
    )
    found = steps(USUAL, catalogue)
    assert [step.split()[0:2] for step in found] == [
        ["Replace", "small,"],
        ["Turn", "on"],
        ["Name", "who"],
        ["Replace", "large,"],
        ["Route", "support"],
    ]
    assert report_of(USUAL, catalogue, TODAY).next_steps == found[:3]


def rows(report: Report, name: str) -> list[Any]:
    (found,) = [table for table in report.tables if table.name == name]
    return list(found.rows)


def test_models_are_ranked_by_cost_times_traffic_and_none_is_left_out() -> None:
    found = seen(gone=flow(10, 50), large=flow(100, 20), small=flow(10_000, 1), free=flow(10**6, 0))
    catalogue = Catalogue(models={"large": MODEL, "small": MODEL, "idle": ListedModel(upstream="openai")})
    models = rows(report_of(found, catalogue, TODAY), "models")
    assert [row["model"] for row in models] == ["small", "large", "gone", "free", "idle"]
    assert [row["flags"] for row in models] == [
        "",
        "",
        "not configured",
        "not configured",
        "no owner, no price, unused",
    ]
    assert sum(row["share_of_cost"] for row in models) == pytest.approx(1)


async def test_from_the_ledger_and_the_spool(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    """40 requests: 30 to large (10 of them hits), 10 to small, five of which were checked and asked again."""
    undelivered = AttemptRecord(
        model="small", upstream="u", started_ms=0, took_ms=1, error="doubted",
        usage=TokenUsage(prompt=5, completion=5), cost=D("0.01"),
    )  # fmt: skip
    answered = AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1)
    events = []
    for number in range(30):
        changes: dict[str, Any] = {"cost": D("0.11"), "attempts": (undelivered, answered)}
        if number < 10:
            changes = {"cost": D(0), "verdict": Verdict(kind="exact"), "usage": TokenUsage(source="cache")}
        elif number < 25:
            changes = {"cost": D("0.10"), "attempts": (answered,)}
        events.append(make_event(latency_ms=100.0 + number, at=NOON + timedelta(hours=number), **changes))
    small = AttemptRecord(model="small", upstream="u", started_ms=0, took_ms=1)
    events += [
        make_event(model="small", cost=D("0.01"), latency_ms=10.0, attempts=(small,), usage=TokenUsage(prompt=1))
        for _ in range(10)
    ]
    events.append(make_event(purpose="judge", model="small", cost=D("0.5"), latency_ms=9999.0))
    events.append(make_event(model="", outcome="failed", status=503, cost=D(0)))
    for event in events[:20]:
        spool.append(event)
    await Writer(spool, database).flush()
    for event in events[15:]:  # some of them are in both
        spool.append(event)
    report = await audit_report(database, folder, Span(), TIDY, TODAY)
    models = {row["model"]: row for row in rows(report, "models")}
    assert (models["large"]["requests"], models["large"]["calls"]) == (30, 20)
    assert models["large"]["cost"] == D("2.0")
    assert (models["small"]["requests"], models["small"]["calls"]) == (11, 15)
    assert models["small"]["cost"] == D("0.65"), "0.10 served, 0.05 not delivered, 0.50 judged"
    assert models["small"]["failed_calls"] == pytest.approx(5 / 15)
    assert models["small"]["p99_ms"] == pytest.approx(10, rel=0.03), "a judge keeps no client waiting"
    assert models["large"]["p50_ms"] == pytest.approx(114, rel=0.03)
    (route,) = rows(report, "routes")
    assert (route["requests"], route["cost"], route["optimising"]) == (41, D("2.15"), D("0.5"))
    assert route["hit_rate"] == pytest.approx(10 / 41)
    assert route["to_reference"] == pytest.approx(20 / 41)
    assert any("No model answered 1 requests" in note for note in report.notes)
    found = orjson.loads(to_json(report))
    assert (found["cost"], found["optimising"], found["requests"]) == ("2.65", "0.5", 41)


async def test_one_tenants_catalogue_has_no_trace_of_others(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    spool.append(make_event(tenant="acme", model="large", latency_ms=10.0))
    spool.append(make_event(tenant="globex", model="secret", latency_ms=10.0))
    await Writer(spool, database).flush()
    catalogue = Catalogue(
        models={**with_model("secret", owner="").models, "hidden": replace(MODEL, shutdown=TODAY)},
        routes={**TIDY.routes, "hush": replace(ROUTE, candidates=("large", "secret"))},
    )
    report = await audit_report(database, folder, Span(tenant="acme"), catalogue, TODAY)
    told = to_json(report).decode()
    assert not any(word in told for word in ("secret", "globex", "hidden", "hush"))
    assert "support" in told
    whole = to_json(await audit_report(database, folder, Span(), catalogue, TODAY)).decode()
    assert all(word in whole for word in ("secret", "hidden", "hush"))
