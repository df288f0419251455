"""One request while it is being answered, and the two shapes of reply that come of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from msgspec import Struct
from msgspec import field as struct_field

from contracts.budgets import Left
from contracts.ports import CacheTerms, Finding, Prompt, Query
from contracts.records import Endpoint, Key, Purpose
from contracts.request import ModelRequest
from contracts.retrieval import Passage
from router.flights import Flight
from router.lots import SESSION
from router.setup import Plan, Setup
from router.spending import Purse
from router.trail import Trail, new_request_id

if TYPE_CHECKING:
    from router.grounding.annotating import Grounds
    from router.lookups import Lookup


class Incoming(Struct, frozen=True, kw_only=True):
    """One HTTP request to a model endpoint, from the holder of `key`.

    Header names are lower case; `arrived` is `time.perf_counter()`.
    """

    endpoint: Endpoint
    key: Key
    body: bytes
    headers: Mapping[str, str]
    request_id: str
    arrived: float
    purpose: Purpose = "serve"
    prompt: Prompt | None = None
    """In the place of what its route has in force: of an audit, or one that the messages hold already."""
    left: MutableMapping[str, Left] = struct_field(default_factory=dict)
    """What the budgets that can refuse it have left, by name; filled in on the way, also to an error."""


def own_request(
    purpose: Purpose,
    tenant: str,
    body: Mapping[str, Any],
    *,
    endpoint: Endpoint = "chat/completions",
    fresh: bool = False,
) -> Incoming:
    """What Weir asks on its own account, as the tenant whose question it is about: it obeys that one's limits and
    stands in that one's ledger, under its own purpose. `fresh`: not from the cache.
    """
    return Incoming(
        endpoint=endpoint,
        key=Key(id=f"weir/{purpose}", tenant=tenant, name=purpose, hash=""),
        body=orjson.dumps(body),
        headers={"cache-control": "no-store"} if fresh else {},
        request_id=new_request_id(),
        arrived=time.perf_counter(),
        purpose=purpose,
    )


@dataclass(slots=True, kw_only=True)
class Exchange:
    """What the pipeline's steps hand on. `body` is the rendered request, its model still the client's name."""

    incoming: Incoming
    setup: Setup
    request: ModelRequest
    plan: Plan
    trail: Trail
    terms: CacheTerms
    body: Mapping[str, Any] = field(default_factory=dict)
    prompt: Prompt | None = None
    """What `body` was rendered with. Taken once, so that nothing promoted meanwhile is mixed in."""
    cache_key: bytes = b""
    revision: int = 0
    """What had been invalidated when this began."""
    lookup: Lookup | None = None
    """What is looked up in documents for it; None: nothing."""
    passages: tuple[Passage, ...] = ()
    """What was found and put into `body`."""
    basis: tuple[str, ...] = ()
    """What its answer depends on in documents."""
    finding: Finding | None = None
    """What the semantic cache said, where it was asked."""
    purse: Purse | None = None
    """Its share of the budgets that concern it; None where none does."""
    flight: Flight | None = None
    query: Query | None = None
    """What the policy was asked, where it was."""
    said: Callable[[], str] | None = None
    """The text of the answer that the client gets, once there is one."""
    doubted: str = ""
    """The text of an answer that was not delivered, because a check failed it."""
    settled: bool = False

    def asked(self, resting: frozenset[str]) -> Query:
        """What the policy is asked; `resting` models are left alone for the moment."""
        return Query(
            request=self.request,
            body=self.body,
            tenant=self.trail.tenant,
            request_id=self.trail.request_id,
            session=self.incoming.headers.get(SESSION, ""),
            resting=resting,
            grounded=self.lookup is not None,
        )

    def grounds(self) -> Grounds | None:
        """What reads the citations of one answer; None where nothing was looked up.

        Who judges answers is shown whole passages in them: what a model saw is what it is judged by.
        """
        if self.lookup is None:
            return None
        from router.grounding.annotating import Grounds
        from router.grounding.contract import is_structured

        judged = self.incoming.purpose in ("eval", "optimise")
        return Grounds(self.passages, whole_quotes=judged, is_json=is_structured(self.body))

    @property
    def deadline(self) -> float:
        """When the route's time is up, on `time.perf_counter()`'s clock."""
        return self.trail.arrived + self.plan.attempts.deadline_seconds


class ReplyStream(Protocol):
    """The rest of a reply that is sent piece by piece."""

    async def next(self) -> bytes:
        """More bytes, or b"" at the end. Raises WeirError once where the answer breaks off."""

    def hang_up(self) -> None:
        """The client has left: what follows is read for the bill only, and not for long."""

    async def close(self) -> None:
        """Let go, settling the request if that has not happened."""


class Reply(Struct, frozen=True, kw_only=True):
    """What the client gets: `body` whole, or `stream`."""

    headers: Mapping[str, str]
    body: bytes = b""
    stream: ReplyStream | None = None
