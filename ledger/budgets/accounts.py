"""Which budgets a request falls under, and whose account of each.

The non-obvious decision: what fits is remembered by tenant, key, route and model, so that a request costs one look
into a dict however many budgets there are. Only tags are compared each time: clients invent them.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from hashlib import blake2b
from math import ceil
from typing import Literal

import orjson

from contracts.budgets import Amount, Budget, Claim, Crossing, Standing
from ledger.budgets.windows import Span

log = logging.getLogger("weir.budgets")

_MOST_REMEMBERED = 10_000

Values = tuple[str, ...]
"""Whose account it is: the values of `Budget.each`, in its order."""

WhenDown = Literal["refuse", "allow"]
"""What becomes of a request under a hard budget of which it cannot be told what is left."""
Alert = Callable[[Crossing], None]
SpentSoFar = Callable[[Budget, datetime | None], Awaitable[Mapping[Values, int]]]
"""By account, what the ledger has of a budget from a moment on; None: of all time."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account of `budget`, whose `version_of` is `version`."""

    budget: Budget
    version: str
    values: Values

    @property
    def owner(self) -> dict[str, str]:
        """Whose it is, for people: what the budget names, and what this account is the one for."""
        budget = self.budget
        named = {"tenant": budget.tenant, "key": budget.key, "route": budget.route, "model": budget.model}
        owner = {part: value for part, value in named.items() if value}
        if budget.tag is not None:
            owner["tag"] = "=".join(budget.tag)
        return owner | dict(zip(budget.each, self.values, strict=True))

    def crossing(self, share: float, spent: int, span: Span) -> Crossing:
        budget = self.budget
        return Crossing(
            budget=budget.name,
            account=self.owner,
            measure=budget.measure,
            hard=budget.hard,
            share=share,
            spent=spent,
            limit=budget.limit,
            window=budget.window,
            resets_at=span.resets_at,
        )

    def standing(self, spent: int, held: int, span: Span) -> Standing:
        budget = self.budget
        return Standing(
            budget=budget.name,
            account=self.owner,
            measure=budget.measure,
            hard=budget.hard,
            window=budget.window,
            spent=spent,
            held=held,
            limit=budget.limit,
            resets_at=span.resets_at,
        )


def version_of(budget: Budget) -> str:
    """Changes with what is counted and how, not with how much there is: accounts survive a new limit."""
    counted = [
        budget.name, budget.measure, budget.window, budget.tenant, budget.key, budget.route, budget.model,
        budget.tag, budget.each,
    ]  # fmt: skip
    return blake2b(orjson.dumps(counted), digest_size=10).hexdigest()


def account_of(budget: Budget, values: Values) -> Account:
    return Account(budget, version_of(budget), values)


def thresholds(budget: Budget) -> list[tuple[float, int]]:
    """The shares of `warn_at` with the amounts from which they are crossed."""
    return [(share, ceil(_exact(share, budget.limit))) for share in sorted(set(budget.warn_at))]


def share_of(amount: Amount, budget: Budget) -> int:
    """What of `amount` the budget counts."""
    taken: int = getattr(amount, budget.measure)
    return taken


def checked(amount: Amount) -> Amount:
    """Raises ValueError where it is negative: what is given back is never more than what was set aside."""
    if amount.requests < 0 or amount.tokens < 0 or amount.usd < 0:
        raise ValueError(f"a negative amount: {amount}")
    return amount


class Accounts:
    """The accounts that requests fall under. Those of budgets about no model come first."""

    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        ordered = sorted(budgets, key=lambda budget: budget.by_model)
        self._at_the_door = [budget for budget in ordered if budget.measure == "requests" and not budget.by_model]
        self._by_model = [budget for budget in ordered if budget.measure != "requests" or budget.by_model]
        self._remembered: dict[tuple[str | None, ...], tuple[Account, ...]] = {}

    def for_admission(self, claim: Claim) -> Sequence[Account]:
        """Of budgets that count requests, whatever model answers."""
        if not self._at_the_door:
            return ()
        return self._fitting(self._at_the_door, claim, None)

    def for_model(self, claim: Claim, model: str) -> Sequence[Account]:
        """Of all other budgets."""
        if not self._by_model:
            return ()
        return self._fitting(self._by_model, claim, model)

    def _fitting(self, budgets: list[Budget], claim: Claim, model: str | None) -> Sequence[Account]:
        place = (claim.tenant, claim.key_id, claim.route, model)
        found = self._remembered.get(place)
        if found is None:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            found = self._remembered[place] = tuple(_accounts(budgets, claim, model or ""))
        if any(account.budget.tag is not None for account in found):
            return [account for account in found if _has_tag(claim, account.budget)]
        return found


def _accounts(budgets: list[Budget], claim: Claim, model: str) -> Iterator[Account]:
    mine: Mapping[str, str] = {"tenant": claim.tenant, "key": claim.key_id, "route": claim.route, "model": model}
    for budget in budgets:
        named = (budget.tenant, budget.key, budget.route, budget.model)
        if all(not part or part == own for part, own in zip(named, mine.values(), strict=True)):
            yield account_of(budget, tuple(mine[dimension] for dimension in budget.each))


def _has_tag(claim: Claim, budget: Budget) -> bool:
    return budget.tag is None or claim.tags.get(budget.tag[0]) == budget.tag[1]


def _exact(share: float, limit: int) -> Fraction:
    return Fraction(repr(share)) * limit


def alert_safely(alert: Alert, crossing: Crossing) -> None:
    """Whoever is alerted, what was spent is counted."""
    try:
        alert(crossing)
    except Exception:
        log.exception("no alert was sent of budget %s", crossing.budget)
