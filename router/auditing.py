"""Audits: a model is asked what the cache has answered already, so that its wrong hits can be counted.

The non-obvious decision: an audit is a request like any other, through the whole pipeline with its tenant's key. So
it obeys limits and breakers, and its cost is in the ledger as what it is.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from msgspec.structs import replace

from contracts.errors import WeirError
from contracts.money import ZERO
from contracts.ports import Finding, SemanticAnswers
from contracts.records import StoredAnswer
from router.errands import Errands
from router.exchange import Exchange, Incoming, Reply
from router.trail import new_request_id

log = logging.getLogger("weir.audits")

_STREAMING = frozenset({"stream", "stream_options"})
_FRESH = {"cache-control": "no-cache"}


class Audits:
    """Asks again for what was served, at most `most` at a time."""

    def __init__(
        self, answer: Callable[[Incoming], Awaitable[Reply]], cache: SemanticAnswers, *, most: int = 8
    ) -> None:
        self._unanswered = 0
        self._answer = answer
        self._cache = cache
        self._errands = Errands(most, "an audit failed")

    @property
    def skipped(self) -> int:
        """Those there was no room for, or that got no answer."""
        return self._errands.skipped + self._unanswered

    def submit(self, exchange: Exchange, finding: Finding) -> None:
        """Ask a model what `exchange` was answered from the cache. Returns at once."""
        raw: dict[str, Any] = exchange.request.raw
        body = orjson.dumps({name: value for name, value in raw.items() if name not in _STREAMING})
        headers = {**exchange.incoming.headers, **_FRESH}
        headers.pop("x-weir-cache", None)
        again = replace(
            exchange.incoming,
            body=body,
            headers=headers,
            request_id=new_request_id(),
            arrived=time.perf_counter(),
            purpose="audit",
            prompt=exchange.prompt,  # of another version, another answer would not be a wrong one
            left={},
        )
        self._errands.send(self._ask(again, finding), "audit")

    async def idle(self) -> None:
        """Wait until those under way have ended."""
        await self._errands.idle()

    async def close(self) -> None:
        """Give up those under way; what they cost until now is settled."""
        await self._errands.close()

    async def _ask(self, again: Incoming, finding: Finding) -> None:
        try:
            reply = await self._answer(again)
        except WeirError as error:
            log.info("an audit came to nothing: %s", error.message)
            self._unanswered += 1
            return
        self._cache.audited(finding, StoredAnswer(body=reply.body, pieces=(), model="", usage=None, cost=ZERO))
