"""What would be decided about a request, without asking any model for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from contracts.ports import Query
from contracts.records import Decision, Key
from contracts.request import ModelRequest
from router.choice.fixed import default_choice
from router.lots import SESSION, prompt_of
from router.pipeline import Pipeline
from router.setup import Plan
from router.trail import new_request_id

log = logging.getLogger("weir.pipeline")


async def preview(
    pipeline: Pipeline, key: Key, raw: Mapping[str, Any], headers: Mapping[str, str], resting: frozenset[str]
) -> tuple[Plan, Decision]:
    """The decision on the chat request `raw`, nothing being counted. Raises what a real request would."""
    request = ModelRequest("chat/completions", dict(raw))
    plan = pipeline.setup.plan(request.model, key)
    prompt = prompt_of(plan, key.tenant, headers)
    query = Query(
        request=request,
        body=prompt.apply(request.raw, request.endpoint) if prompt is not None else request.raw,
        tenant=key.tenant,
        request_id=new_request_id(),
        session=headers.get(SESSION, ""),
        resting=resting,
    )
    try:
        return plan, await plan.policy.choose(query, plan.candidates, dry=True)
    except Exception:  # as a real request would go on
        log.exception("the policy of route %s failed; its default model would answer", plan.route)
        return plan, default_choice(plan.candidates, degraded="policy")
