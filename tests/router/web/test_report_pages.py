"""`/admin/v1/reports`: the question travels to the ledger, its answer back; a tenant's staff sees its tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from contracts.errors import LedgerUnavailable, NotFound
from contracts.records import Key
from contracts.reporting import MadeReport, ReportQuestion
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring, hash_of
from router.access import Operators
from router.web.app import pages_app
from router.web.report_pages import report_pages
from tests.router.web.wire import Wire

ADMIN = "the admin's key"
VIEWER, OF_ACME = "sk-weir-viewer-0000000000", "sk-weir-acme-viewer-00000"


class PlainReports:
    """Tells back what it was asked."""

    names: Sequence[str] = ("costs", "focus")

    def __init__(self) -> None:
        self.asked: list[tuple[str, ReportQuestion]] = []
        self.down = False

    async def make(self, name: str, question: ReportQuestion) -> MadeReport:
        if self.down:
            raise LedgerUnavailable("The ledger's database does not answer right now.", retry_after_s=5)
        if name not in self.names:
            raise NotFound(f"There is no report '{name}'.")
        self.asked.append((name, question))
        return MadeReport(b"{}" if question.format == "json" else b"<p>", f"made/{question.format}")


@pytest.fixture
def reports() -> PlainReports:
    return PlainReports()


@pytest.fixture
def app(reports: PlainReports, tmp_path: Path) -> FastAPI:
    staff = [
        Key(id="staff/all", tenant="", hash=hash_of(VIEWER), role="viewer"),
        Key(id="staff/acme", tenant="acme", hash=hash_of(OF_ACME), role="viewer"),
    ]
    keyring = MemoryKeyring(staff, ["acme", "globex"], Database(sqlite_url(tmp_path)))
    return pages_app([report_pages(Operators(ADMIN, keys=keyring), reports)])


async def get(app: FastAPI, path: str, key: str = ADMIN) -> Wire:
    wire = Wire(path=path.partition("?")[0], method="GET", key=key)
    wire.scope["query_string"] = path.partition("?")[2].encode()
    return await wire.through(app)


async def test_a_question_travels_whole(app: FastAPI, reports: PlainReports) -> None:
    query = "since=2026-11-01T01:00%2B01:00&until=2026-12-01&tenant=acme&by=day,tag:team&allocate=true&format=html"
    wire = await get(app, f"/admin/v1/reports/costs?{query}")
    assert (wire.status, wire.body) == (200, b"<p>")
    (asked,) = reports.asked
    assert asked == (
        "costs",
        ReportQuestion(
            since=datetime(2026, 11, 1, tzinfo=UTC),
            until=datetime(2026, 12, 1, tzinfo=UTC),
            tenant="acme",
            by="day,tag:team",
            allocate=True,
            format="html",
        ),
    )
    headers = dict(wire.headers)
    assert headers["content-type"] == "made/html"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


async def test_nothing_asked_is_everything(app: FastAPI, reports: PlainReports) -> None:
    assert (await get(app, "/admin/v1/reports/focus")).status == 200
    assert reports.asked == [("focus", ReportQuestion())]
    assert orjson.loads((await get(app, "/admin/v1/reports")).body) == {"data": ["costs", "focus"]}


async def test_a_tenants_staff_sees_its_own_tenant(app: FastAPI, reports: PlainReports) -> None:
    assert (await get(app, "/admin/v1/reports/costs", VIEWER)).status == 200
    assert (await get(app, "/admin/v1/reports/costs", OF_ACME)).status == 200
    assert (await get(app, "/admin/v1/reports/costs?tenant=acme", OF_ACME)).status == 200
    assert [question.tenant for _, question in reports.asked] == [None, "acme", "acme"]
    assert (await get(app, "/admin/v1/reports/costs?tenant=globex", OF_ACME)).status == 404
    assert (await get(app, "/admin/v1/reports/costs", "")).status == 401
    assert len(reports.asked) == 3


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("since=yesterday", "since"),
        ("until=2026-13-01", "until"),
        ("since=0001-01-01T00:00%2B10:00", "since"),
        ("format=pdf", "format"),
        ("allocate=perhaps", "allocate"),
    ],
)
async def test_what_is_no_question_is_refused(app: FastAPI, reports: PlainReports, query: str, param: str) -> None:
    wire = await get(app, f"/admin/v1/reports/costs?{query}")
    assert wire.status == 400
    assert wire.json["error"]["param"] == param
    assert reports.asked == []


async def test_unknown_reports_and_a_dead_database_are_told_apart(app: FastAPI, reports: PlainReports) -> None:
    wire: Any = await get(app, "/admin/v1/reports/colour")
    assert (wire.status, wire.json["error"]["code"]) == (404, "not_found")
    reports.down = True
    wire = await get(app, "/admin/v1/reports/costs")
    assert (wire.status, wire.json["error"]["code"]) == (503, "ledger_unavailable")
