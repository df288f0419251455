"""An answer is judged before it is delivered, by the policy that chose its model; paid for where it is dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal

from msgspec.structs import replace

from contracts.ports import CheckTerms, Draft, WholeAnswer
from contracts.records import Check
from contracts.usage import TokenUsage
from router.delivery import Tee
from router.exchange import Exchange
from router.replay import text_of
from router.setup import Deployment

log = logging.getLogger("weir.review")

Bill = Callable[[Exchange, Deployment, object, Callable[[], str], object], tuple[TokenUsage, Decimal]]
"""What an answer cost: its raw usage, its text where that cannot be believed, and its service tier."""


class Review:
    """Of one request, whose decision said that its cheap model's answer is to be checked."""

    def __init__(self, exchange: Exchange, terms: CheckTerms, bill: Bill) -> None:
        self.terms = terms
        self._exchange = exchange
        self._bill = bill

    async def doubts(self, draft: Draft) -> bool:
        """Whether a better model is to be asked. Where that cannot be said, it is."""
        trail, query = self._exchange.trail, self._exchange.query
        assert trail.decision is not None and query is not None  # noqa: S101 - there was a decision to check
        try:
            trail.decision = await self._exchange.plan.policy.review(query, trail.decision, draft)
        except Exception:
            log.exception("the check of route %s failed; the next model answers", trail.route)
            failed = Check(model=draft.model, good=0.0, needed=1.0, escalated=True, degraded="check")
            trail.decision = replace(trail.decision, check=failed)
        check = trail.decision.check
        if check is None:
            return False
        if check.degraded:
            trail.degraded.append(check.degraded)
        return check.escalated

    def lose_stream(self, deployment: Deployment, tee: Tee) -> None:
        """A stream broke, or its client left, while it was held back: what came of it is paid for."""
        bill = self._bill(self._exchange, deployment, tee.raw_usage, lambda: tee.text, tee.tier)
        self._exchange.trail.lost(deployment.model, *bill)

    def drop_whole(self, deployment: Deployment, answer: WholeAnswer) -> None:
        """The answer that was doubted is not delivered: a better one is there."""
        data = answer.data
        self._drop(deployment, data.get("usage"), lambda: text_of(data), data.get("service_tier"))

    async def drop_stream(self, deployment: Deployment, tee: Tee) -> None:
        """The same of a stream, which is ended; what it cost is estimated where it had not said so yet."""
        try:
            self._drop(deployment, tee.raw_usage, lambda: tee.text, tee.tier)
        finally:
            await tee.close()

    def _drop(self, deployment: Deployment, raw_usage: object, text: Callable[[], str], tier: object) -> None:
        self._exchange.doubted = text()
        bill = self._bill(self._exchange, deployment, raw_usage, text, tier)
        self._exchange.trail.undelivered(deployment.model, *bill)
