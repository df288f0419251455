"""What an answer cost: by the usage that its provider reported, or by an estimate that says it is one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from msgspec.structs import replace

from contracts.ports import TokenCounter
from contracts.usage import TokenUsage, reported_usage
from router.exchange import Exchange
from router.setup import Deployment

_TIERS = frozenset({"batch", "flex", "priority"})
"""Service tiers with prices of their own, as providers name them in `service_tier`."""


class Billing:
    """Bills of answers. `tokens` estimates where there is no usage that can be believed."""

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens

    def bill(
        self,
        exchange: Exchange,
        deployment: Deployment,
        raw_usage: object,
        text: Callable[[], str],
        tier: object = None,
    ) -> tuple[TokenUsage, Decimal]:
        """Usage, and its cost in dollars. `text` is asked for what the model wrote only where it is needed.

        `tier` is the answer's `service_tier`, as it came.
        """
        usage = reported_usage(raw_usage)
        if usage is None:
            usage = self._tokens.estimate(exchange.body, text())
            if isinstance(raw_usage, dict):
                usage = replace(usage, raw=raw_usage)
        if isinstance(tier, str) and tier in _TIERS:
            usage = replace(usage, tier=tier)
        return usage, exchange.setup.prices.cost(deployment.model, usage)

    def price(
        self,
        exchange: Exchange,
        deployment: Deployment,
        raw_usage: object,
        text: Callable[[], str],
        tier: object = None,
    ) -> None:
        """The same of the answer that is delivered, noted in the trail.

        Beside it, for a client's request, what the reference would have cost. What Weir asks on its own account, or
        an evaluation, avoids nothing.
        """
        usage, cost = self.bill(exchange, deployment, raw_usage, text, tier)
        trail, prices, reference = exchange.trail, exchange.setup.prices, exchange.plan.reference
        trail.spent(usage, cost, prices.priced_by(deployment.model))
        if reference and trail.purpose == "serve":
            listed = cost if reference == deployment.model else prices.cost(reference, usage)
            trail.avoided = listed - trail.cost
