"""The step that looks for a stored answer: an equal request's, one of the same meaning, or one that is on its way.

The non-obvious decision: a hit is asked whether the documents it was built on are as they were, each time and
whichever way it came. One that has outlived them is forgotten and counts as a miss, and says nothing of how alike
two questions are.
"""

from __future__ import annotations

from msgspec.structs import replace

from contracts.ports import AnswerCache, CacheScope, SemanticAnswers
from contracts.records import StoredAnswer, Verdict
from router.exchange import Exchange
from router.flights import Flights
from router.lots import HELD_OUT
from router.retrieving import Retrieving
from router.verdicts import OUTDATED, UNTOLD, exact_verdict, semantic_verdict


class Recalling:
    """Over `cache`, and `semantic` where questions are compared by meaning; one pipeline's."""

    def __init__(self, cache: AnswerCache, semantic: SemanticAnswers | None, retrieving: Retrieving) -> None:
        self.flights = Flights()
        self._cache = cache
        self._semantic = semantic
        self._retrieving = retrieving

    async def recall(self, exchange: Exchange) -> StoredAnswer | None:
        """An answer that may be served, with its verdict in the trail; None where a model is to be asked.

        Then `exchange` may hold a flight, which must land.
        """
        plan, terms, trail = exchange.plan, exchange.terms, exchange.trail
        if trail.arm == "dear":
            trail.verdict = Verdict(kind="bypass", reason=HELD_OUT)
            return None
        if not plan.cache.enabled or not (terms.lookup or terms.store):
            trail.verdict = Verdict(kind="bypass", reason=terms.reason or "the route keeps no answers")
            return None
        corpus = exchange.lookup.corpus(trail.tenant) if exchange.lookup is not None else ""
        locale = exchange.incoming.headers.get("accept-language", "")
        scope = plan.scope(trail.tenant, exchange.prompt, locale, corpus)
        exchange.cache_key = self._cache.key(scope, trail.endpoint, exchange.body)
        exchange.revision = self._cache.revision
        if not terms.lookup:
            trail.verdict = Verdict(kind="bypass", reason=terms.reason)
            return None
        return await self._exact(exchange) or await self._alike(exchange, scope) or await self._landed(exchange)

    async def _exact(self, exchange: Exchange) -> StoredAnswer | None:
        found = self._cache.find(exchange.cache_key)
        if found is None:
            exchange.trail.verdict = Verdict(kind="miss")
            return None
        if not await self._is_current(exchange, found.answer, exchange.cache_key):
            return None
        exchange.trail.verdict = exact_verdict(found, exchange.trail.tenant)
        return found.answer

    async def _alike(self, exchange: Exchange, scope: CacheScope) -> StoredAnswer | None:
        plan, trail = exchange.plan, exchange.trail
        if self._semantic is None or plan.cache.semantic is None:
            return None
        finding = await self._semantic.recall(
            scope, trail.endpoint, exchange.body, plan.cache.semantic, exchange.terms
        )
        exchange.finding = finding = replace(finding, tenant=trail.tenant)
        if finding.degraded:
            trail.degraded.append(finding.degraded)
        found = finding.found
        if found is not None and not await self._is_current(exchange, found.answer, finding.near):
            exchange.finding = replace(finding, found=None, near=b"", best=(), audit=False)
            return None
        if trail.verdict.reason and found is None:  # why an equal request's answer was not served
            return None
        trail.verdict = semantic_verdict(finding, trail.tenant)
        return found.answer if found is not None else None

    async def _landed(self, exchange: Exchange) -> StoredAnswer | None:
        if not exchange.terms.store:
            return None
        exchange.flight, landed = await self.flights.board(exchange.cache_key, until=exchange.deadline)
        if landed is None:
            return None
        if not await self._is_current(exchange, landed):
            return None
        exchange.trail.verdict = Verdict(kind="exact", reason="an equal request was in flight", saved=landed.cost)
        return landed

    async def _is_current(self, exchange: Exchange, answer: StoredAnswer, key: bytes = b"") -> bool:
        """Whether `answer`, kept under `key`, may be served. It is forgotten where a document that it was built on
        has changed, or is gone; not where that cannot be told."""
        current = await self._retrieving.current(exchange, answer)
        if current:
            return True
        if key and current is not None:
            self._cache.drop(key)
        exchange.trail.verdict = Verdict(kind="miss", reason=UNTOLD if current is None else OUTDATED)
        return False
