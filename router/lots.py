"""What is drawn by lot: requests that go down the dear path, and those that get a canary of their prompt.

Down the dear path they go to the reference, past the cache, and measure what others save.

The non-obvious decision: lots are drawn for a conversation where the client names it, so that all its turns are
answered alike, and else for a request. Equal questions of many people must not share a lot: a popular one would
then be dear for all of them or for none.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from hashlib import blake2b

from contracts.ports import Prompt
from contracts.records import Arm, Candidate, Decision
from contracts.request import ModelRequest
from router.setup import Plan

SESSION = "x-weir-session"
"""The header in which a client may name the conversation that a request belongs to."""
HELD_OUT = "drawn by lot to measure what the others save"

_random = random.Random()  # noqa: S311 - a lot, not a secret


def conversation_of(plan: Plan, tenant: str, request: ModelRequest, headers: Mapping[str, str]) -> str:
    """16 hex digits: of the client's name for the conversation, else of how it begins; empty where nothing tells.

    Where nothing is drawn, only named conversations count: to read how others begin would cost each request.
    """
    session = headers.get(SESSION, "")
    if session:
        return _fingerprint(tenant, plan.route, session)
    if not plan.dear_share or not request.asked:
        return ""
    return _fingerprint(tenant, plan.route, "", request.asked[0])


def drawn(plan: Plan, tenant: str, headers: Mapping[str, str]) -> Arm:
    """The arm of a client's request; empty where the route draws no lots."""
    if not plan.dear_share:
        return ""
    return "dear" if _lot("lot", plan, tenant, headers) < plan.dear_share else "usual"


def prompt_of(plan: Plan, tenant: str, headers: Mapping[str, str]) -> Prompt | None:
    """The prompt of a request that begins now. One lot has nothing to do with the other."""
    return plan.prompts.of(tenant, _lot("canary", plan, tenant, headers)) if plan.prompts is not None else None


def dear_choice(plan: Plan) -> Decision:
    """The reference answers; the route's other candidates stand by."""
    others = [model for model in plan.candidates if model != plan.reference]
    return Decision(
        model=plan.reference,
        policy="counterfactual",
        reason=HELD_OUT,
        candidates=(
            Candidate(model=plan.reference, reason="chosen"),
            *(Candidate(model=model, reason="stands by") for model in others),
        ),
    )


def _lot(what: str, plan: Plan, tenant: str, headers: Mapping[str, str]) -> float:
    """At least 0 and below 1; the same for all requests of a conversation that the client names."""
    session = headers.get(SESSION, "")
    return int(_fingerprint(what, tenant, plan.route, session), 16) / 2**64 if session else _random.random()


def _fingerprint(*parts: str) -> str:
    digest = blake2b(digest_size=8)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()
