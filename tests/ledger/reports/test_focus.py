"""The FOCUS export: its rows keep the rules, and add up to the cost report to the last digit."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from contracts.records import AttemptRecord, UsageEvent, Verdict
from contracts.reporting import Provider
from contracts.usage import TokenUsage
from ledger.database import Database, sqlite_url
from ledger.reports.costs import CostReport, cost_report
from ledger.reports.document import Report
from ledger.reports.focus import FocusBroken, by_all, focus_page
from ledger.reports.focus_rules import check
from ledger.reports.formats.as_csv import as_written, to_csv
from ledger.reports.formats.as_parquet import read_parquet, write_parquet
from tests.ledger.reports.stored import insert_events
from tests.ledger.reports.test_costs import some_events

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
TAGS = ("team",)
PROVIDERS = {"large": Provider("openai", "azure-east"), "small": Provider("local")}


async def exported(database: Database, folder: Path, **asked: Any) -> tuple[CostReport, Report]:
    report = await cost_report(database, folder, by=by_all(TAGS), rolled_up=TAGS, **asked)
    return report, focus_page(report, PROVIDERS)


async def test_a_row_says_who_paid_for_what(database: Database, folder: Path, make_event: MakeEvent) -> None:
    discarded = AttemptRecord(
        model="small",
        upstream="local",
        started_ms=0,
        took_ms=1,
        usage=TokenUsage(prompt=7),
        cost=Decimal("0.000000000001"),
    )
    event = make_event(
        cost=Decimal("1.250000000001"),
        saved=Decimal("0.5"),
        avoided=Decimal("-0.25"),
        usage=TokenUsage(prompt=1000, cached=400, completion=50, source="estimated"),
        attempts=(discarded,),
        tags={"team": "search", "app": "x"},
    )
    await insert_events(database, [event], TAGS)
    report, page = await exported(database, folder)
    large, small = sorted(page.tables[0].rows, key=lambda row: str(row["SkuId"]))
    assert (large["BilledCost"], small["BilledCost"]) == (Decimal("1.25"), Decimal("0.000000000001"))
    assert large["BilledCost"] == large["EffectiveCost"] == large["ListCost"] == large["ContractedCost"]
    assert (large["ProviderName"], large["ServiceProviderName"], large["HostProviderName"]) == (
        "openai",
        "openai",
        "azure-east",
    )
    assert small["HostProviderName"] == "local"
    assert (large["BillingPeriodStart"], large["BillingPeriodEnd"]) == (
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 12, 1, tzinfo=UTC),
    )
    assert (large["ChargePeriodStart"], large["ChargePeriodEnd"]) == (
        datetime(2026, 11, 5, tzinfo=UTC),
        datetime(2026, 11, 6, tzinfo=UTC),
    )
    assert (large["BillingAccountId"], large["SubAccountId"], large["ResourceId"]) == ("acme", "key_1", "support")
    assert (large["ConsumedQuantity"], large["PricingQuantity"]) == (1050, Decimal("0.00105"))
    assert (large["ChargeCategory"], large["ChargeClass"], large["InvoiceId"]) == ("Usage", None, None)
    assert orjson.loads(large["Tags"]) == {"team": "search"}
    assert (large["x_SavedCost"], large["x_AvoidedCost"], large["x_EstimatedRequests"]) == (
        Decimal("0.5"),
        Decimal("-0.25"),
        1,
    )
    assert report.total.cost == Decimal("1.250000000001")


@given(events=some_events)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_adds_up_to_the_cost_report_in_csv_and_parquet(
    tmp_path_factory: pytest.TempPathFactory, events: list[UsageEvent]
) -> None:
    folder = tmp_path_factory.mktemp("focus")
    database = Database(sqlite_url(folder))
    await database.prepare()
    await insert_events(database, events, TAGS)
    report, page = await exported(database, folder / "spool")
    await database.close()
    rows = list(csv.DictReader(io.StringIO(to_csv(page), newline="")))
    assert sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0)) == report.total.cost
    assert sum((Decimal(row["x_SavedCost"]) for row in rows), Decimal(0)) == report.total.whole.saved
    columns = [column.name for column in page.tables[0].columns]
    assert check(columns, [{name: as_written(text) for name, text in row.items()} for row in rows]) == []
    write_parquet(page, folder / "focus.parquet")
    types, typed = read_parquet(folder / "focus.parquet")
    assert sum((row["BilledCost"] for row in typed), Decimal(0)) == report.total.cost
    assert check(list(types), typed) == []
    assert types["BilledCost"] == types["PricingQuantity"] == "decimal128(38, 12)"


async def test_a_part_of_a_day_is_charged_for_that_part(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await insert_events(database, [make_event(at=NOON)], TAGS)
    until = NOON + timedelta(minutes=10, microseconds=5)
    _, page = await exported(database, folder, since=NOON - timedelta(minutes=5), until=until)
    (row,) = page.tables[0].rows
    assert row["ChargePeriodStart"] == NOON - timedelta(minutes=5)
    assert row["ChargePeriodEnd"] == NOON + timedelta(minutes=10, seconds=1)


async def test_what_charged_nothing_and_saved_nothing_is_no_row(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    nothing = {"cost": Decimal(0), "usage": TokenUsage(source="none")}
    failed = make_event(**nothing, model="", outcome="failed")
    hit = make_event(**nothing, verdict=Verdict(kind="exact"), saved=Decimal("0.01"))
    await insert_events(database, [failed, hit], TAGS)
    _, page = await exported(database, folder)
    (row,) = page.tables[0].rows
    assert (row["BilledCost"], row["x_SavedCost"], row["x_Hits"]) == (0, Decimal("0.01"), 1)
    assert row["ChargeCategory"] == "Usage", "what was saved is no credit"


async def test_a_model_that_is_configured_no_more_has_an_unknown_provider(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    await insert_events(database, [make_event(model="gone"), make_event(model="", cost=Decimal(1))], TAGS)
    _, page = await exported(database, folder)
    assert {(row["SkuId"], row["ProviderName"]) for row in page.tables[0].rows} == {
        ("gone", "Unknown"),
        ("Unknown", "Unknown"),
    }


async def test_a_broken_rule_is_not_exported(database: Database, folder: Path, make_event: MakeEvent) -> None:
    await insert_events(database, [make_event(tenant="")], TAGS)
    with pytest.raises(FocusBroken, match="BillingAccountId: must not be null"):
        await exported(database, folder)
