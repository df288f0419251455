"""The reports of models, return and summary, as the server's desk asks for them: see `desk.ReportDesk`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from contracts.reporting import ReportQuestion, Surroundings
from ledger.database import Database
from ledger.reports.audit import audit_report
from ledger.reports.catalogue import Catalogue
from ledger.reports.desk import Maker
from ledger.reports.document import Report, Unanswerable
from ledger.reports.roi import roi_report
from ledger.reports.single_events import Span
from ledger.reports.summary import summary_report


def makers_of(catalogue: Callable[[], Catalogue]) -> Mapping[str, Maker]:
    """By name. `catalogue` says what is configured now."""

    async def audit(database: Database, folder: Path, question: ReportQuestion, _: Surroundings) -> Report:
        return await audit_report(database, folder, _span(question), catalogue(), _today())

    async def roi(database: Database, folder: Path, question: ReportQuestion, _: Surroundings) -> Report:
        return await roi_report(database, folder, _span(question), drawing=catalogue().drawing)

    async def summary(database: Database, folder: Path, question: ReportQuestion, _: Surroundings) -> Report:
        return await summary_report(database, folder, _span(question), catalogue(), _today())

    return {"audit": audit, "roi": roi, "summary": summary}


def _span(question: ReportQuestion) -> Span:
    if question.by or question.allocate:
        raise Unanswerable("Only the report of costs can be cut (`by`) and allocated (`allocate`).")
    return Span(since=question.since, until=question.until, tenant=question.tenant)


def _today() -> date:
    return datetime.now(UTC).date()
