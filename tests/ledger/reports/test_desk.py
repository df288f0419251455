"""Reports by name, in three formats; and what is said where one cannot be made."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from contracts.access import Author
from contracts.errors import InvalidRequest, LedgerUnavailable, NotFound
from contracts.records import UsageEvent
from contracts.reporting import Provider, ReportQuestion, Shutdown, Surroundings
from contracts.usage import TokenUsage
from ledger.database import Database
from ledger.reports.desk import ReportDesk, make_costs
from ledger.spool import Spool
from ledger.stored_tenants import create_tenant
from tests.ledger.reports.stored import insert_events

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
SURROUNDINGS = Surroundings(
    tags=("team",),
    providers={"large": Provider("openai")},
    idle_gpus={"own": Decimal(2)},
    shutdowns=(Shutdown("large", date(2027, 1, 14), ("support",), "config"),),
)


@pytest.fixture
def desk(url: str, database: Database, folder: Path) -> ReportDesk:
    return ReportDesk(url, folder, lambda: SURROUNDINGS)


async def test_costs_come_in_three_formats(desk: ReportDesk, database: Database, make_event: MakeEvent) -> None:
    await insert_events(database, [make_event(tags={"team": "<b>"}), make_event()], SURROUNDINGS.tags)
    by = "tag:team,day"
    made = await desk.make("costs", ReportQuestion(by=by))
    document = orjson.loads(made.body)
    assert made.media_type == "application/json"
    assert [(row["tag:team"], row["day"], row["cost"]) for row in document["rows"]] == [
        (None, "2026-11-05", "0.0001"),
        ("<b>", "2026-11-05", "0.0001"),
    ]
    assert (document["total"]["requests"], document["by"]) == (2, ["tag:team", "day"])
    made = await desk.make("costs", ReportQuestion(by=by, format="csv"))
    assert made.media_type.startswith("text/csv")
    assert [row["tag:team"] for row in csv.DictReader(io.StringIO(made.body.decode()))] == ["", "<b>"]
    made = await desk.make("costs", ReportQuestion(by=by, format="html"))
    assert made.media_type.startswith("text/html")
    assert b"Cost by day" in made.body
    assert b"<b>" not in made.body


async def test_focus_is_exported(desk: ReportDesk, database: Database, make_event: MakeEvent) -> None:
    await insert_events(database, [make_event()], SURROUNDINGS.tags)
    made = await desk.make("focus", ReportQuestion(format="csv"))
    (row,) = csv.DictReader(io.StringIO(made.body.decode()))
    assert (row["BilledCost"], row["ProviderName"]) == ("0.0001", "openai")


async def test_notes_tell_what_a_reader_must_know(
    desk: ReportDesk, database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [
        make_event(priced_by="unpriced", cost=Decimal(0)),
        make_event(usage=TokenUsage(prompt=1, source="estimated"), avoided=Decimal(1)),
        make_event(purpose="judge"),
    ]
    await insert_events(database, events)
    spool = Spool(folder)
    spool.set_aside(b"torn", "torn or corrupt")
    spool.close()
    notes = " ".join(orjson.loads((await desk.make("costs", ReportQuestion())).body)["notes"])
    for text in (
        "1 calls of models without a price",
        "Tokens of 1 calls (33.3%) were estimated",
        "$0.0001 of the cost was spent on other purposes",
        "large is turned off on 2027-01-14 (config); used by support",
        "it is not measured",
        "1 records that could not be read or stored",
    ):
        assert text in notes


async def test_allocated_costs_add_up_with_idle_hours(
    database: Database, folder: Path, make_event: MakeEvent
) -> None:
    events = [
        make_event(tenant="a", model="own", cost=Decimal(3)),
        make_event(tenant="b", model="own", cost=Decimal(1)),
        make_event(tenant="b", cost=Decimal(2), purpose="judge"),
    ]
    await insert_events(database, events)
    asked = {"since": NOON, "until": NOON + timedelta(hours=6), "by": "tenant", "allocate": True}
    page = await make_costs(database, folder, ReportQuestion(**asked), SURROUNDINGS)  # type: ignore[arg-type]
    rows = {row["tenant"]: (row["cost"], row["allocated"]) for row in page.tables[0].rows}
    assert rows == {"a": (Decimal(9), Decimal(6)), "b": (Decimal(5), Decimal(2))}
    assert page.tables[0].total is not None
    assert page.tables[0].total["cost"] == 14
    assert any("pool" in note for note in page.notes)
    alone = await make_costs(
        database,
        folder,
        ReportQuestion(**asked, tenant="b"),  # type: ignore[arg-type]
        SURROUNDINGS,
    )
    assert [row["cost"] for row in alone.tables[0].rows] == [Decimal(5)], "a tenant alone bears no more"
    open_ended = await make_costs(database, folder, ReportQuestion(allocate=True), SURROUNDINGS)
    assert any("--since" in note for note in open_ended.notes)


async def test_what_cannot_be_answered_is_said(desk: ReportDesk) -> None:
    assert list(desk.names) == ["costs", "focus"]
    with pytest.raises(NotFound, match="there are costs, focus"):
        await desk.make("roi", ReportQuestion())
    with pytest.raises(InvalidRequest, match="each once"):
        await desk.make("costs", ReportQuestion(by="colour"))
    with pytest.raises(InvalidRequest, match="always by day"):
        await desk.make("focus", ReportQuestion(by="tenant"))


async def test_a_tenant_is_told_of_no_models_and_routes_but_its_own(
    desk: ReportDesk, database: Database, make_event: MakeEvent
) -> None:
    events = [make_event(tenant="acme", model="small", route="auto"), make_event(tenant="globex", model="large")]
    await insert_events(database, [*events, make_event(tenant="hooli", model="large", route="support")])
    told = {
        tenant: (await desk.make("costs", ReportQuestion(tenant=tenant))).body
        for tenant in ("acme", "globex", "hooli")
    }
    assert b"large" not in told["acme"] and b"support" not in told["acme"]
    assert b"large is turned off" in told["hooli"] and b"used by support" in told["hooli"]
    assert b"used by" in (await desk.make("costs", ReportQuestion())).body


async def test_a_span_without_time_and_an_unheard_of_tenant_are_no_empty_report(
    url: str, database: Database, folder: Path, spool: Spool, make_event: MakeEvent
) -> None:
    desk = ReportDesk(url, folder, lambda: Surroundings(tenants=frozenset({"new"})))
    await insert_events(database, [make_event(tenant="gone")])
    spool.append(make_event(tenant="spooled"))
    await create_tenant(database, "stored", author=Author("test"))
    for name in desk.names:
        for known in ("new", "gone", "spooled", "stored", None):
            await desk.make(name, ReportQuestion(tenant=known))
        with pytest.raises(InvalidRequest, match="no tenant 'acmee'"):
            await desk.make(name, ReportQuestion(tenant="acmee"))
        with pytest.raises(InvalidRequest, match="must be before 'until'"):
            await desk.make(name, ReportQuestion(since=NOON, until=NOON))


async def test_a_database_that_is_away_is_unavailable(folder: Path) -> None:
    desk = ReportDesk("postgresql://nobody@127.0.0.1:1/weir", folder, Surroundings)
    with pytest.raises(LedgerUnavailable):
        await desk.make("costs", ReportQuestion())
