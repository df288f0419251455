"""What is not hot: models, decisions, health and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from contracts.errors import NotFound
from contracts.ports import EventArchive, Keyring
from contracts.records import DIRECT, Role, UsageEvent
from router.access import Operators, bearer
from router.evidence import RecentDecisions, explain
from router.health import Health
from router.pipeline import Pipeline
from router.setup import Plan
from router.trail import is_request_id


def model_pages(pipeline: Pipeline, keys: Keyring) -> APIRouter:
    """`/v1/models`: the routes and models that the caller's key may name."""
    pages = APIRouter()

    @pages.get("/v1/models", summary="Routes and models this key may use")
    async def list_models(request: Request) -> dict[str, Any]:
        key = keys.find(bearer(request.headers))
        return {"object": "list", "data": [_model(name, plan) for name, plan in pipeline.setup.names(key)]}

    @pages.get("/v1/models/{name:path}", summary="One route or model")
    async def get_model(name: str, request: Request) -> dict[str, Any]:
        key = keys.find(bearer(request.headers))
        return _model(name, pipeline.setup.plan(name, key))

    return pages


class Decisions:
    """What is known of single requests: each to its own tenant and that one's staff, all of them to the admin."""

    def __init__(self, recent: RecentDecisions, archive: EventArchive, keys: Keyring, operators: Operators) -> None:
        self._recent = recent
        self._archive = archive
        self._keys = keys
        self._operators = operators

    async def find(self, request_id: str, headers: Mapping[str, str], role: Role = "viewer") -> UsageEvent:
        """`role` is what the staff needs. Raises NotFound where there is none for this caller, and AccessError."""
        tenant = self._operators.reader(headers, self._keys, role).tenant
        event = self._recent.find(request_id)
        if event is None and is_request_id(request_id):
            event = await self._archive.find(request_id)
        if event is None or (tenant and event.tenant != tenant):
            raise NotFound(f"No request '{request_id}' is known for this key.")
        return event


def decision_pages(decisions: Decisions) -> APIRouter:
    """`/v1/decisions/{request_id}`: one request explained."""
    pages = APIRouter()

    @pages.get("/v1/decisions/{request_id}", summary="How one request was answered, and why")
    async def get_decision(request_id: str, request: Request) -> dict[str, Any]:
        return explain(await decisions.find(request_id, request.headers))

    return pages


def operator_pages(health: Health, metrics: Callable[[], Awaitable[bytes]], operators: Operators) -> APIRouter:
    """`/healthz` and `/readyz`, open to all, and `/metrics`, which is not."""
    pages = APIRouter()

    @pages.get("/healthz", summary="Whether the process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @pages.get("/readyz", summary="Whether requests would be answered")
    async def readyz() -> JSONResponse:
        report = await health.report()
        return JSONResponse(report, status_code=200 if report["ready"] else 503)

    @pages.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def metrics_page(request: Request) -> Response:
        operators.require_metrics(request.headers)
        return Response(await metrics(), media_type=CONTENT_TYPE_LATEST)

    return pages


def _model(name: str, plan: Plan) -> dict[str, Any]:
    is_route = plan.route != DIRECT
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "weir",
        "weir": {
            "kind": "route" if is_route else "model",
            "candidates": list(plan.candidates) if is_route else None,
        },
    }
