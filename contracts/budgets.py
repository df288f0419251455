"""Budgets: how much may be spent, on what, in which span of time. A limit on requests or tokens is a budget too.

Amounts are whole numbers, so that counters can be exact wherever they are kept: requests, tokens, and dollars as
nanodollars, rounded up. In this unit a budget may hold nine million dollars before a double loses the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Literal, Protocol

from msgspec import Struct, field

Measure = Literal["requests", "tokens", "usd"]
Window = Literal["minute", "day", "month", "total"]
"""Of the calendar, in UTC."""
Dimension = Literal["tenant", "key", "route", "model"]

NANO = Decimal("1e-9")


def nanodollars(amount: Decimal) -> int:
    """`amount` dollars in the unit of budgets, rounded up."""
    return int((amount / NANO).to_integral_value(ROUND_CEILING))


def dollars(amount: int) -> Decimal:
    """The other way round."""
    return amount * NANO


class Budget(Struct, frozen=True, kw_only=True):
    """At most `limit` of `measure` in each `window`, for what fits all named parts; an empty one fits all.

    `limit` is in requests, tokens or nanodollars. `each`: not one account for all, but one for each tenant, key and
    so on. A soft budget refuses nothing. Shares of the limit in `warn_at` are told to whoever wants to be alerted.
    """

    name: str
    measure: Measure
    limit: int
    window: Window
    hard: bool = True
    warn_at: tuple[float, ...] = ()
    tenant: str = ""
    key: str = ""
    """A key's id."""
    route: str = ""
    model: str = ""
    tag: tuple[str, str] | None = None
    """A tag's name and value."""
    each: tuple[Dimension, ...] = ()

    @property
    def by_model(self) -> bool:
        """Whether it is about one model, so that another may still be called when it is used up."""
        return bool(self.model) or "model" in self.each

    @property
    def shared(self) -> bool:
        """Whether several tenants spend from one account, so one is not told its amounts."""
        return not (self.tenant or self.key) and not {"tenant", "key"} & set(self.each)


class Claim(Struct, frozen=True, kw_only=True):
    """Who is about to spend: one request."""

    request_id: str
    tenant: str
    key_id: str
    route: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Amount(Struct, frozen=True, kw_only=True):
    """What one model takes, or took. `usd` in nanodollars."""

    requests: int = 0
    tokens: int = 0
    usd: int = 0


class Left(Struct, frozen=True, kw_only=True):
    """What a budget has left for a request, once that has taken its part. `resets_at` None: never."""

    budget: str
    measure: Measure
    limit: int
    left: int
    resets_at: datetime | None


class Crossing(Struct, frozen=True, kw_only=True):
    """A budget's account has passed a share of its limit. `account` names whose, such as {"tenant": "acme"}."""

    budget: str
    account: Mapping[str, str]
    measure: Measure
    hard: bool
    share: float
    spent: int
    limit: int
    window: Window
    resets_at: datetime | None


class Standing(Struct, frozen=True, kw_only=True):
    """How one account of a budget stands. `held` is set aside for requests that are not over yet."""

    budget: str
    account: Mapping[str, str]
    measure: Measure
    hard: bool
    window: Window
    spent: int
    held: int
    limit: int
    resets_at: datetime | None

    @property
    def left(self) -> int:
        return max(0, self.limit - self.spent - self.held)


class Standings(Protocol):
    """What whoever lists budgets asks."""

    async def standings(self) -> Sequence[Standing]:
        """All accounts with something in them, or one of nothing for a budget without. Raises BudgetUnavailable."""


class Budgets(Protocol):
    """Reserve before a model is called, settle after. What is settled late or twice counts once."""

    def configure(self, budgets: Sequence[Budget]) -> None:
        """Put these in force. Accounts of budgets that stay go on."""

    async def admit(self, claim: Claim) -> Sequence[Left]:
        """Count a request against the request budgets that name no model.

        Raises LimitReached where one of them is used up, and BudgetUnavailable.
        """

    async def reserve(self, claim: Claim, model: str, amount: Amount) -> Sequence[Left]:
        """Set `amount` aside before `model` is called: all budgets that fit, or none.

        Asked again for the same request and model, nothing more is set aside. Raises LimitReached, BudgetSpent
        where it is money, and BudgetUnavailable. What is set aside comes back by itself where a crash keeps it from
        being settled.
        """

    def settle(self, claim: Claim, spent: Mapping[str, Amount]) -> None:
        """The request is over: what each model really took counts. Raises nothing, waits for nothing."""
