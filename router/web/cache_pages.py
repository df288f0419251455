"""Stored answers: what there are, how they are taken back, and what is done when one was bad.

The non-obvious decision: a tenant takes back what is its own and nothing else, so what a pool holds is the
operator's. But whoever was given a bad answer may report it, wherever it came from: the report names the request,
not the entry, and one that was never served cannot be reported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import Abandoned, InvalidRequest, NotFound
from contracts.ports import AnswerControl, Keyring
from contracts.records import DIRECT, UsageEvent
from router.access import Operators, bearer
from router.setup import Setup
from router.web.admin import Caller, admin_route, joined
from router.web.asgi import ClientLeft, body_in
from router.web.pages import Decisions

log = logging.getLogger("weir.cache")

EVERYONE, EVERYTHING = "", "*"
"""The owner that stands for all of them, and the tag that every entry has."""

_ID = re.compile(r"[0-9a-fA-F]{32}")
_MOST_REPORT_BYTES = 16 * 1024
_LONGEST_TAG = 512

_Tag = Annotated[str, Query(max_length=_LONGEST_TAG, description="Only what is filed under it.")]
_Owner = Annotated[str | None, Query(max_length=256, description="A tenant, or `pool:NAME`. Left out: all.")]


class BadAnswer(BaseModel):
    """What is wrong with an answer, in words; for the log."""

    model_config = ConfigDict(extra="forbid")
    reason: str = Field("", max_length=1000)


def cache_admin_pages(
    operators: Operators,
    control: AnswerControl,
    setup: Callable[[], Setup],
    *,
    worker: int = 0,
    workers: int = 1,
) -> APIRouter:
    """`/admin/v1/cache`: what there is, and taking it back. `setup` gives what is in force."""
    look = APIRouter(prefix="/admin/v1/cache", route_class=admin_route(operators, "viewer", scoped=True))
    operate = APIRouter(prefix="/admin/v1/cache", route_class=admin_route(operators, "operator", scoped=True))

    @look.get("", summary="Counts of the cache, and what each tenant and route has learned, in this worker")
    async def get_stats(staff: Caller) -> dict[str, Any]:
        stats = control.stats(setup().semantic_rules)
        if staff.tenant:  # the counts are of all tenants together
            stats = {"scopes": [scope for scope in stats["scopes"] if scope["owner"] == staff.tenant]}
        return {"worker": worker, "workers": workers, **stats}

    @look.get("/entries", summary="Stored answers of this worker, the most recently used first")
    async def list_entries(
        staff: Caller,
        tenant: _Owner = None,
        tag: _Tag = "",
        entry: Annotated[str, Query(alias="id", description="Only this one.")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    ) -> dict[str, Any]:
        if entry and not _ID.fullmatch(entry):
            raise InvalidRequest("'id' must be 32 hex digits, as x-weir-cache-entry has them.", param="id")
        owner = _known(staff.own(tenant), setup())
        entries = control.inspect(owner, tag=tag, key=bytes.fromhex(entry), most=limit)
        return {"data": list(entries)}

    @operate.delete("/entries/{entry}", summary="Forget one stored answer")
    async def drop_entry(entry: str, staff: Caller) -> dict[str, Any]:
        return _dropped(control, staff.tenant or EVERYONE, entry)

    @operate.delete("/tags/{tag:path}", summary="Make stale what is filed under a tag")
    async def invalidate_tag(tag: str, staff: Caller, tenant: _Owner = None) -> dict[str, Any]:
        return await _invalidated(control, _known(staff.own(tenant), setup()), tag)

    @operate.delete("", summary="Make everything stale")
    async def invalidate_all(staff: Caller, tenant: _Owner = None) -> dict[str, Any]:
        return await _invalidated(control, _known(staff.own(tenant), setup()), EVERYTHING)

    return joined(look, operate)


def cache_pages(
    keys: Keyring,
    control: AnswerControl,
    decisions: Decisions,
    setup: Callable[[], Setup],
    *,
    reported: Callable[[str], None],
) -> APIRouter:
    """`/v1/cache`: a tenant's own answers taken back; and reports of bad ones. `reported` counts them by route."""
    pages = APIRouter()

    @pages.delete("/v1/cache/entries/{entry}", summary="Forget one of this tenant's stored answers")
    async def drop_entry(entry: str, request: Request) -> dict[str, Any]:
        return _dropped(control, keys.find(bearer(request.headers)).tenant, entry)

    @pages.delete("/v1/cache/tags/{tag:path}", summary="Make stale what this tenant has under a tag")
    async def invalidate_tag(tag: str, request: Request) -> dict[str, Any]:
        return await _invalidated(control, keys.find(bearer(request.headers)).tenant, tag)

    @pages.post(
        "/v1/decisions/{request_id}/report",
        summary="Say that an answer was bad: a stored one is not served again",
        openapi_extra={
            "requestBody": {
                "required": False,
                "content": {"application/json": {"schema": BadAnswer.model_json_schema()}},
            }
        },
    )
    async def report_answer(request_id: str, request: Request) -> dict[str, Any]:
        event = await decisions.find(request_id, request.headers, "operator")
        told = _told(await _body(request))
        quarantined = _quarantine(control, event, setup())
        reported(event.route)
        log.info(
            "request %s of %s on route %s was reported as bad (%s, entry %s%s): %r",
            event.request_id,
            event.tenant,
            event.route,
            event.verdict.kind,
            event.verdict.entry_id or "none",
            ", now in quarantine" if quarantined else "",
            told.reason,
        )
        return {"request_id": event.request_id, "quarantined": quarantined}

    return pages


def _known(owner: str | None, setup: Setup) -> str:
    """`owner` where it is a tenant or a pool, all of them where it is None. Raises InvalidRequest."""
    if owner is None:
        return EVERYONE
    pools = {f"pool:{plan.cache.pool}" for plan in setup.plans.values() if plan.cache.pool}
    if owner not in pools and owner not in setup.tenants:
        raise InvalidRequest(f"There is no tenant or pool '{owner}'. A pool is named 'pool:NAME'.", param="tenant")
    return owner


def _dropped(control: AnswerControl, owner: str, entry_id: str) -> dict[str, Any]:
    if not _ID.fullmatch(entry_id) or not control.drop(owner, bytes.fromhex(entry_id)):
        raise NotFound(f"There is no stored answer '{entry_id}' for this key.")
    return {"id": entry_id.lower(), "dropped": True}


async def _invalidated(control: AnswerControl, owner: str, tag: str) -> dict[str, Any]:
    if not tag or len(tag) > _LONGEST_TAG:
        raise InvalidRequest(f"A tag has 1 to {_LONGEST_TAG} characters.", param="tag")
    return {"tag": tag, "revision": await control.invalidate(owner, tag)}


async def _body(request: Request) -> bytes:
    """Small, and read only after the key was found good."""
    try:
        return await body_in(request.receive, request.headers, _MOST_REPORT_BYTES)
    except ClientLeft:
        raise Abandoned("The client left before its report was whole.") from None


def _told(body: bytes) -> BadAnswer:
    if not body.strip():
        return BadAnswer()
    try:
        return BadAnswer.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        named = f"'{where}'" if where else "The request body"
        raise InvalidRequest(f"{named}: {first['msg']}.", param=where or None) from None


def _quarantine(control: AnswerControl, event: UsageEvent, setup: Setup) -> bool:
    """Whether the stored answer that `event` was answered with is served no more. A fresh answer had none."""
    verdict = event.verdict
    if verdict.kind not in ("exact", "semantic") or not _ID.fullmatch(verdict.entry_id):
        return False
    plan = setup.plans.get(event.requested_model if event.route == DIRECT else event.route)
    owner = plan.cache.owner(event.tenant) if plan is not None else event.tenant
    score = verdict.score if verdict.kind == "semantic" else None
    return control.report(owner, event.route, bytes.fromhex(verdict.entry_id), score)
