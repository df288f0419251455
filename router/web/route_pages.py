"""What a route would decide, and what a client has to say of an answer it got.

The non-obvious decision: a preview takes the request that would be sent, whole. A question alone would be decided
otherwise than the same question inside a conversation, with tools, or from another tenant.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import Abandoned, InvalidRequest
from contracts.ports import Keyring
from contracts.records import Key
from router.access import Operators, Staff
from router.breaker import Breakers
from router.evidence import explain_decision
from router.learning.lessons import Lessons
from router.pipeline import Pipeline
from router.preview import preview
from router.web.asgi import ClientLeft, body_in
from router.web.pages import Decisions

_MOST_FEEDBACK_BYTES = 16 * 1024
_MOST_PREVIEW_BYTES = 4 * 1024 * 1024


class Feedback(BaseModel):
    """How good an answer was."""

    model_config = ConfigDict(extra="forbid")
    score: float = Field(ge=0, le=1, description="0 is useless, 1 is right.")


def preview_pages(pipeline: Pipeline, keys: Keyring, operators: Operators, breakers: Breakers) -> APIRouter:
    """`/v1/decisions/preview`."""
    pages = APIRouter()

    @pages.post("/v1/decisions/preview", summary="What would be decided about a request, without sending it")
    async def preview_decision(
        request: Request,
        tenant: Annotated[str, Query(max_length=256, description="For whom; for the admin and the staff.")] = "",
    ) -> dict[str, Any]:
        asker = operators.reader(request.headers, keys)
        if isinstance(asker, Staff):
            tenant = asker.own(tenant or None) or ""
            if tenant not in pipeline.setup.tenants:
                raise InvalidRequest(f"There is no tenant '{tenant}'.", param="tenant")
        key = Key(id=asker.by, tenant=tenant, hash="") if isinstance(asker, Staff) else asker
        try:
            raw = orjson.loads(await _body(request, _MOST_PREVIEW_BYTES))
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"The request body is not valid JSON: {error}.") from error
        if not isinstance(raw, dict):
            raise InvalidRequest("The request body must be a JSON object, as for /v1/chat/completions.")
        resting = breakers.resting(time.perf_counter())
        plan, decision = await preview(pipeline, key, raw, dict(request.headers), resting)
        return {"object": "weir.preview", "route": plan.route, "decision": explain_decision(decision)}

    return pages


def feedback_pages(
    pipeline: Pipeline, decisions: Decisions, lessons: Lessons, *, told: Callable[[str], None]
) -> APIRouter:
    """`/v1/decisions/{request_id}/feedback`. `told` counts it by route."""
    pages = APIRouter()

    @pages.post(
        "/v1/decisions/{request_id}/feedback",
        summary="Say how good an answer was: the route's router learns from it",
        openapi_extra={
            "requestBody": {"content": {"application/json": {"schema": Feedback.model_json_schema()}}},
        },
    )
    async def give_feedback(request_id: str, request: Request) -> dict[str, Any]:
        event = await decisions.find(request_id, request.headers, "operator")
        try:
            feedback = Feedback.model_validate_json(await _body(request, _MOST_FEEDBACK_BYTES))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidRequest(
                f'{where or "The request body"}: {first["msg"]}. Send {{"score": 0.0 to 1.0}}.', param=where or None
            ) from None
        plan = pipeline.setup.plans.get(event.route)
        learning = plan.learning if plan is not None else None
        told(event.route)
        chosen = event.decision is not None and bool(event.model)  # nobody was, for a stored answer
        if learning is None or not chosen:
            return {"request_id": event.request_id, "learned": False}
        lessons.told(event, learning, feedback.score)
        return {"request_id": event.request_id, "learned": True}

    return pages


async def _body(request: Request, most: int) -> bytes:
    """Read only after the key was found good."""
    try:
        return await body_in(request.receive, request.headers, most)
    except ClientLeft:
        raise Abandoned("The client left before its request was whole.") from None
