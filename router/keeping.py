"""What becomes of a fresh answer: whether the cache may have it, in which form, and under what it is filed.

The non-obvious decision: what may be kept is made ready before the request is settled, and kept after it. The
ledger comes first, and those who wait for the same answer get it without the cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from contracts.ports import AnswerCache, SemanticAnswers
from contracts.records import StoredAnswer
from router.delivery import Tee
from router.exchange import Exchange


class Keeping:
    """Of answers in `cache`; with `semantic`, so that they are found by meaning too."""

    def __init__(self, cache: AnswerCache, semantic: SemanticAnswers | None) -> None:
        self._cache = cache
        self._semantic = semantic

    def storable(
        self, exchange: Exchange, body: bytes, data: Mapping[str, Any], pieces: tuple[int, ...] = ()
    ) -> StoredAnswer | None:
        """A whole answer as the cache keeps it; None where it may not."""
        trail = exchange.trail
        if not self.may_keep(exchange) or self._cache.refuse_answer(data):
            return None
        return StoredAnswer(
            body=body,
            pieces=pieces,
            model=trail.model,
            usage=data.get("usage"),
            cost=trail.cost,
            basis=exchange.basis,
        )

    def may_keep(self, exchange: Exchange) -> bool:
        """Whether an answer to this request may be kept, whatever it says."""
        wanted = bool(exchange.cache_key) and exchange.terms.store
        return wanted and exchange.plan.cache.may_write(exchange.trail.tenant)

    def assembled(self, exchange: Exchange, tee: Tee) -> StoredAnswer | None:
        """The same of a finished stream; None too where it nests too deep to be written again."""
        if tee.assembly is None:
            return None
        data, pieces = tee.assembly.answer()
        data["usage"] = tee.raw_usage
        try:
            body = orjson.dumps(data)
        except orjson.JSONEncodeError:
            return None
        return self.storable(exchange, body, data, pieces)

    def keep(self, exchange: Exchange, stored: StoredAnswer) -> None:
        """Store it, and teach the semantic cache what was asked."""
        finding, tenant = exchange.finding, exchange.trail.tenant
        asked = finding is not None and bool(finding.hard_key)
        filing = exchange.plan.filing(
            tenant,
            stored.model,
            exchange.prompt,
            exchange.request.asked,
            exchange.terms.tags,
            exchange.revision,
            asked,
        )
        self._cache.store(exchange.cache_key, stored, filing)
        if finding is not None and asked and self._semantic is not None:
            self._semantic.learn(finding, exchange.cache_key, stored)
