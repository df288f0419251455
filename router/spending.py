"""What a request may spend: asked of the budgets before a model is called, told to them when all is over.

The non-obvious decision: whether any budget concerns a request is found out here, from what the budgets name. An
estimate of its tokens is dear, and most requests of most tenants are under no budget: they get no purse, and
nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from contracts.budgets import Amount, Budget, Budgets, Claim, Left, nanodollars
from contracts.errors import BudgetSpent, BudgetUnavailable, LimitReached
from contracts.ports import Prices
from contracts.records import OWN
from contracts.request import ModelRequest
from router.forecast import Forecast
from router.trail import Trail

_REFUSALS = frozenset({LimitReached.code, BudgetSpent.code, BudgetUnavailable.code})
"""Attempts that ended before a model was called."""
_MOST = 2**53 - 1
"""Counters hold no more; it is above every budget's limit."""
_NOTHING = Amount()


class Spending:
    """Hands out purses. `refused` is told the budget that was used up, `unavailable` that none could be asked."""

    def __init__(
        self,
        budgets: Budgets,
        forecast: Forecast,
        *,
        refused: Callable[[str], None] = lambda _: None,
        unavailable: Callable[[], None] = lambda: None,
    ) -> None:
        self.budgets = budgets
        self.forecast = forecast
        self._refused = refused
        self._unavailable = unavailable
        self._of_anyone: tuple[Budget, ...] = ()
        self._of_tenant: dict[str, tuple[Budget, ...]] = {}
        self._by_model: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()

    def configure(self, budgets: Sequence[Budget]) -> None:
        """Put these in force, for requests that come from now on."""
        self.budgets.configure(budgets)
        self._of_anyone = tuple(budget for budget in budgets if not budget.tenant)
        self._of_tenant = {
            tenant: tuple(budget for budget in budgets if budget.tenant in ("", tenant))
            for tenant in {budget.tenant for budget in budgets if budget.tenant}
        }
        self._by_model = frozenset(budget.name for budget in budgets if budget.by_model)
        self._told = frozenset(budget.name for budget in budgets if budget.hard and not budget.shared)

    def purse(self, trail: Trail, request: ModelRequest, left: MutableMapping[str, Left]) -> Purse | None:
        """For one request; None where no budget concerns it. What they have left is noted in `left`."""
        budgets = self._of_tenant.get(trail.tenant, self._of_anyone)
        if not budgets:
            return None
        concerned = [budget for budget in budgets if _may_concern(budget, trail)]
        return Purse(self, concerned, trail, request, left) if concerned else None

    def blocks_its_model_only(self, reached: LimitReached) -> bool:
        """Whether another model may still be asked."""
        return reached.budget in self._by_model

    def note(self, refusal: LimitReached | BudgetUnavailable) -> None:
        """Count what was refused."""
        if isinstance(refusal, LimitReached):
            self._refused(refusal.budget)
        else:
            self._unavailable()

    def told(self, left: Sequence[Left]) -> Mapping[str, Left]:
        """What the client may know, by the budget's name: of those that refuse, and that only it spends from."""
        return {one.budget: one for one in left if one.budget in self._told}


class Purse:
    """One request's share of the budgets that concern it."""

    __slots__ = (
        "_admits",
        "_budgets",
        "_claim",
        "_left",
        "_prompt",
        "_reads",
        "_request",
        "_reserved",
        "_spending",
    )

    def __init__(
        self,
        spending: Spending,
        budgets: Sequence[Budget],
        trail: Trail,
        request: ModelRequest,
        left: MutableMapping[str, Left],
    ) -> None:
        self._spending = spending
        self._budgets = [budget for budget in budgets if budget.by_model or budget.measure != "requests"]
        """Those that are asked before a model is called; the others are asked at the door."""
        self._claim = Claim(
            request_id=trail.request_id,
            tenant=trail.tenant,
            key_id=trail.key_id,
            route=trail.route,
            tags=trail.tags,
        )
        self._request = request
        self._left = left
        self._reserved: set[str] = set()
        self._admits = trail.purpose not in OWN and any(
            budget.measure == "requests" and not budget.by_model for budget in budgets
        )
        self._reads = any(budget.measure != "requests" for budget in budgets)
        self._prompt: int | None = None
        """Its estimated tokens, once something was set aside for them."""

    async def admit(self) -> None:
        """Count the request itself. Raises LimitReached, and BudgetUnavailable."""
        if self._admits:
            try:
                left = await self._spending.budgets.admit(self._claim)
            except (LimitReached, BudgetUnavailable) as refusal:
                self._spending.note(refusal)
                raise
            self._left.update(self._spending.told(left))

    async def reserve(self, model: str, body: Mapping[str, Any], prices: Prices) -> None:
        """Set aside what `model` will take for the rendered `body`; once, however often it is tried.

        Raises LimitReached, BudgetSpent where it is money, and BudgetUnavailable.
        """
        if model in self._reserved or all(budget.model not in ("", model) for budget in self._budgets):
            return
        amount = self._amount(model, body, prices)
        try:
            left = await self._spending.budgets.reserve(self._claim, model, amount)
        except (LimitReached, BudgetUnavailable) as refusal:
            self._spending.note(refusal)
            raise
        self._reserved.add(model)
        self._left.update(self._spending.told(left))

    def blocks_its_model_only(self, reached: LimitReached) -> bool:
        """Whether another model may still be asked, where `reserve` has raised `reached`."""
        return self._spending.blocks_its_model_only(reached)

    def settle(self, trail: Trail, body: Mapping[str, Any]) -> None:
        """The request is over: what its models really took counts, and more is known for the next one."""
        self._spending.budgets.settle(self._claim, taken(trail))
        if self._prompt is not None and trail.outcome == "answered":
            forecast = self._spending.forecast
            forecast.learn(trail.route, trail.model, self._request, body, self._prompt, trail.usage)

    def _amount(self, model: str, body: Mapping[str, Any], prices: Prices) -> Amount:
        if not self._reads:
            return Amount(requests=1)
        forecast = self._spending.forecast
        if self._prompt is None:
            self._prompt = forecast.prompt(body)
        usage = forecast.usage(self._claim.route, model, self._request, body, self._prompt)
        usd = min(nanodollars(prices.cost(model, usage)), _MOST)
        return Amount(requests=1, tokens=usage.total, usd=usd)


def taken(trail: Trail) -> dict[str, Amount]:
    """What each model that was called took: all answers that were paid for. A call that failed is a request."""
    amounts = {attempt.model: Amount(requests=1) for attempt in trail.attempts if attempt.error not in _REFUSALS}
    for model, usage, cost in trail.bills:
        if usage.source not in ("reported", "estimated"):
            continue
        before = amounts.get(model, _NOTHING)
        amounts[model] = Amount(
            requests=1,
            tokens=before.tokens + usage.total,
            usd=min(before.usd + nanodollars(cost), _MOST),
        )
    return amounts


def _may_concern(budget: Budget, trail: Trail) -> bool:
    """Whatever model answers. The tenant has been looked at."""
    if budget.key and budget.key != trail.key_id:
        return False
    if budget.route and budget.route != trail.route:
        return False
    return budget.tag is None or trail.tags.get(budget.tag[0]) == budget.tag[1]
