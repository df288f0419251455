"""`/admin/v1/reports`: what the ledger knows, for the staff; that of one tenant for its own staff."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from contracts.errors import InvalidRequest
from contracts.reporting import ReportFormat, ReportQuestion, Reports
from router.access import Operators
from router.web.admin import Caller, admin_route

_LONGEST_CUT = 512
_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
}

_Since = Annotated[str, Query(max_length=40, description="From this time on, in ISO 8601; without a zone in UTC.")]
_Until = Annotated[str, Query(max_length=40, description="Before this time.")]
_Tenant = Annotated[str | None, Query(max_length=256, description="Only this one.")]
_By = Annotated[
    str,
    Query(max_length=_LONGEST_CUT, description="What makes a row of costs: tenant,route,day,tag:team and so on."),
]
_Allocate = Annotated[bool, Query(description="Spread costs that no request caused over those that were served.")]


def report_pages(operators: Operators, reports: Reports) -> APIRouter:
    """One path for all reports; which there are, `reports` knows."""
    pages = APIRouter(prefix="/admin/v1/reports", route_class=admin_route(operators, "viewer", scoped=True))

    @pages.get("", summary="Which reports there are")
    async def list_reports() -> dict[str, Any]:
        return {"data": list(reports.names)}

    @pages.get("/{name}", summary="A report as JSON, CSV or a page", response_class=Response)
    async def get_report(
        name: str,
        staff: Caller,
        since: _Since = "",
        until: _Until = "",
        tenant: _Tenant = None,
        by: _By = "",
        allocate: _Allocate = False,
        format: ReportFormat = "json",  # noqa: A002 - the name clients send
    ) -> Response:
        question = ReportQuestion(
            since=_moment("since", since),
            until=_moment("until", until),
            tenant=staff.own(tenant),
            by=by,
            allocate=allocate,
            format=format,
        )
        made = await reports.make(name, question)
        return Response(made.body, media_type=made.media_type, headers=_HEADERS)

    return pages


def _moment(param: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"'{param}' must be a time such as 2026-11-01T09:30:00Z.", param=param) from None
