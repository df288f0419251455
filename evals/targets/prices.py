"""What an answer costs, where the target does not say so itself.

Dollars come from a price that was given, or from the list that Weir brings along, by the model's name. A name that
the list does not have costs nobody knows what: never nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from contracts.money import usd
from contracts.usage import TokenUsage
from evals.targets.port import Price
from ledger.prices.listed import Choose, listed_model
from ledger.prices.rates import PARTS, TokenRates

_MOST_DOLLARS = Decimal(10**6)
"""For a million tokens; more is a slip of the hand."""


@dataclass(frozen=True, slots=True)
class TariffPrice:
    """Implements `evals.targets.port.Price`. `choose` gives the tariff that holds now."""

    choose: Choose

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return self.of(TokenUsage(prompt=prompt_tokens, completion=completion_tokens))

    def of(self, usage: TokenUsage) -> Decimal:
        """Dollars, with what is cheaper or dearer about cached tokens, long prompts and service tiers."""
        return usd(self.choose().dollars(usage))

    def has_tier(self, tier: str) -> bool:
        """Whether a service tier has prices of its own."""
        return tier in self.choose().tiers


@dataclass(frozen=True, slots=True)
class RoutePrice:
    """What an answer of a route costs at most: that of its dearest candidate.

    With `several`, that of all together, since a check may send a request on to the next one and both are paid.
    """

    candidates: Sequence[Price]
    several: bool = False

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        costs = [price.cost(prompt_tokens, completion_tokens) for price in self.candidates]
        return sum(costs, Decimal(0)) if self.several else max(costs)


def stated_price(text: str) -> TariffPrice:
    """Of `input=0.5,output=1.5`, in dollars per million tokens, or of a model's name in the list.

    The parts are those of a price in the configuration, such as `cached_input`. Raises ValueError.
    """
    if "=" not in text:
        found = listed_price(text.strip())
        if found is None:
            raise ValueError(f"'{text}' is not in the price list; write input=0.5,output=1.5 instead")
        return found
    parts: dict[str, Decimal] = {}
    for piece in text.split(","):
        name, _, figure = (side.strip() for side in piece.partition("="))
        if name not in PARTS or name in parts:
            raise ValueError(f"'{name}' is given twice or is none of {', '.join(PARTS)}")
        parts[name] = _dollars(figure)
    if missing := {"input", "output"} - parts.keys():
        raise ValueError(f"{' and '.join(sorted(missing))} must be stated too")
    tariff = TokenRates(**parts).tariff()  # type: ignore[arg-type]  # none of PARTS is a mapping
    return TariffPrice(lambda: tariff)


def listed_price(model: str) -> TariffPrice | None:
    """The price of the list for `model`, or None."""
    try:
        return TariffPrice(listed_model(model, None).choose)
    except LookupError:
        return None


def _dollars(figure: str) -> Decimal:
    try:
        amount = Decimal(figure)
    except InvalidOperation:
        raise ValueError(f"'{figure}' is not an amount of dollars") from None
    if not amount.is_finite() or not 0 <= amount <= _MOST_DOLLARS:
        raise ValueError(f"'{figure}' is not an amount of dollars per million tokens")
    return amount
