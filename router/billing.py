"""What an answer cost: by the usage that its provider reported, or by an estimate that says it is one."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from msgspec.structs import replace

from contracts.ports import TokenCounter
from contracts.usage import TokenUsage, reported_usage
from router.exchange import Exchange
from router.setup import Deployment


class Billing:
    """Bills of answers. `tokens` estimates where there is no usage that can be believed."""

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens

    def bill(
        self, exchange: Exchange, deployment: Deployment, raw_usage: object, text: Callable[[], str]
    ) -> tuple[TokenUsage, Decimal]:
        """Usage, and its cost in dollars. `text` is asked for what the model wrote only where it is needed."""
        usage = reported_usage(raw_usage)
        if usage is None:
            usage = self._tokens.estimate(exchange.body, text())
            if isinstance(raw_usage, dict):
                usage = replace(usage, raw=raw_usage)
        return usage, exchange.setup.prices.cost(deployment.model, usage)

    def price(self, exchange: Exchange, deployment: Deployment, raw_usage: object, text: Callable[[], str]) -> None:
        """The same of the answer that is delivered, noted in the request's trail."""
        usage, cost = self.bill(exchange, deployment, raw_usage, text)
        exchange.trail.spent(usage, cost, exchange.setup.prices.priced_by(deployment.model))
