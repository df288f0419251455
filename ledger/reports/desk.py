"""Where reports are asked for: the command line asks for pages, the server for whole answers by name.

The non-obvious decision: a report reads much, and the server has requests to answer. So only one is made at a time
in a process, others wait for it, and it is made in a thread, with an event loop and a connection of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace
from sqlalchemy.exc import SQLAlchemyError

from contracts.errors import InvalidRequest, LedgerUnavailable, NotFound
from contracts.reporting import MadeReport, ReportQuestion, Shutdown, Surroundings
from ledger.database import Database
from ledger.reports import cost_page, focus
from ledger.reports.allocation import overheads
from ledger.reports.asking import check_span, check_tenant
from ledger.reports.costs import USUAL, CostReport, checked_cut, cost_report
from ledger.reports.document import Report, Unanswerable
from ledger.reports.formats.as_csv import to_csv
from ledger.reports.formats.as_html import to_html
from ledger.reports.formats.as_json import to_json

Maker = Callable[[Database, Path, ReportQuestion, Surroundings], Awaitable[Report]]
"""Raises Unanswerable where what is asked makes no sense."""

_RETRY_S = 5


async def make_costs(
    database: Database, spool_folder: Path, question: ReportQuestion, surroundings: Surroundings
) -> Report:
    """`weir report costs`. As a page it has the cost of each day too."""
    by = checked_cut(question.by) if question.by else USUAL
    notes = []
    shared = None
    if question.allocate:
        now = datetime.now(UTC)
        shared = overheads(surroundings.idle_gpus, question.since, min(question.until or now, now))
        if surroundings.idle_gpus and question.since is None:
            notes.append("Hours of idle GPUs are allocated only where the report has a beginning: --since.")
    report = await cost_report(
        database,
        spool_folder,
        by=by,
        since=question.since,
        until=question.until,
        tenant=question.tenant,
        rolled_up=surroundings.tags,
        by_day=question.format == "html",
        allocate=shared,
    )
    shutdowns = _concerning(report, surroundings.shutdowns)
    page = cost_page.cost_page(report, by, shutdowns, headlines=question.format == "html")
    return replace(page, notes=[*page.notes, *notes])


def _concerning(report: CostReport, shutdowns: Sequence[Shutdown]) -> Sequence[Shutdown]:
    """Of one tenant those that it used: what others call their models and routes is not for it."""
    if report.tenant is None:
        return shutdowns
    models, routes = {cell.model for cell in report.rows}, {cell.route for cell in report.rows}
    return [
        replace(gone, routes=[route for route in gone.routes if route in routes])
        for gone in shutdowns
        if gone.model in models
    ]


async def make_focus(
    database: Database, spool_folder: Path, question: ReportQuestion, surroundings: Surroundings
) -> Report:
    """`weir report focus`. It has a cut of its own."""
    if question.by or question.allocate:
        raise Unanswerable("The FOCUS export is always by day, tenant, key, route, model, purpose and tags.")
    report = await cost_report(
        database,
        spool_folder,
        by=focus.by_all(surroundings.tags),
        since=question.since,
        until=question.until,
        tenant=question.tenant,
        rolled_up=surroundings.tags,
    )
    return focus.focus_page(report, surroundings.providers)


MAKERS: Mapping[str, Maker] = {cost_page.NAME: make_costs, focus.NAME: make_focus}


class ReportDesk:
    """Implements `contracts.reporting.Reports`. `surroundings` says what is configured now."""

    def __init__(
        self,
        database_url: str,
        spool_folder: Path,
        surroundings: Callable[[], Surroundings],
        makers: Mapping[str, Maker] = MAKERS,
    ) -> None:
        self._url = database_url
        self._folder = spool_folder
        self._surroundings = surroundings
        self._makers = makers
        self._making = asyncio.Lock()

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._makers)

    async def make(self, name: str, question: ReportQuestion) -> MadeReport:
        maker = self._makers.get(name)
        if maker is None:
            raise NotFound(f"There is no report '{name}'; there are {', '.join(self._makers)}.")
        async with self._making:
            surroundings = self._surroundings()
            try:
                return await asyncio.to_thread(lambda: asyncio.run(self._made(maker, question, surroundings)))
            except Unanswerable as error:
                raise InvalidRequest(str(error)) from error
            except (SQLAlchemyError, OSError) as error:
                raise LedgerUnavailable(
                    "The ledger's database does not answer right now.", retry_after_s=_RETRY_S
                ) from error

    async def _made(self, maker: Maker, question: ReportQuestion, surroundings: Surroundings) -> MadeReport:
        database = Database(self._url)
        try:
            check_span(question.since, question.until)
            await check_tenant(database, self._folder, question.tenant, surroundings.tenants)
            report = await maker(database, self._folder, question, surroundings)
        finally:
            await database.close()
        return written(report, question.format)


def written(report: Report, as_: str) -> MadeReport:
    match as_:
        case "csv":
            return MadeReport(to_csv(report).encode(), "text/csv; charset=utf-8")
        case "html":
            return MadeReport(to_html(report).encode(), "text/html; charset=utf-8")
        case _:
            return MadeReport(to_json(report), "application/json")
