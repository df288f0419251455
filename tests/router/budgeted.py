"""Budgets in this process that note what they are asked, and a pipeline over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.budgets import Amount, Budget, Claim, Left, Measure, nanodollars
from contracts.errors import BudgetUnavailable
from ledger.budgets.local import LocalBudgets
from router.estimates import TokenEstimator
from router.forecast import Forecast
from router.setup import Setup
from router.spending import Spending
from tests.router.plain import COST, Works, works_over


class NotedBudgets(LocalBudgets):
    """The shipped ones, which also note what they were asked; out of reach where they are told to be `down`."""

    def __init__(self) -> None:
        super().__init__()
        self.admitted: list[Claim] = []
        self.reserved: list[tuple[str, Amount]] = []
        self.settled: list[Mapping[str, Amount]] = []
        self.down = False
        self.gate: asyncio.Event | None = None
        """Nothing is reserved before it is set."""
        self.asked = asyncio.Event()

    async def admit(self, claim: Claim) -> Sequence[Left]:
        self._check()
        self.admitted.append(claim)
        return await super().admit(claim)

    async def reserve(self, claim: Claim, model: str, amount: Amount) -> Sequence[Left]:
        self._check()
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        left = await super().reserve(claim, model, amount)
        self.reserved.append((model, amount))
        return left

    def settle(self, claim: Claim, spent: Mapping[str, Amount]) -> None:
        self.settled.append(spent)
        super().settle(claim, spent)

    def _check(self) -> None:
        if self.down:
            raise BudgetUnavailable("What is left cannot be told.", retry_after_s=1)

    async def spent(self, name: str) -> int:
        """What all accounts of a budget have spent, where nothing is held any more."""
        standings = [standing for standing in await self.standings() if standing.budget == name]
        assert [standing.held for standing in standings] == [0] * len(standings)
        return sum(standing.spent for standing in standings)


@dataclass
class Counted:
    """What was told of refusals."""

    refused: list[str] = field(default_factory=list)
    unavailable: int = 0

    def missed(self) -> None:
        self.unavailable += 1


@dataclass(kw_only=True)
class Budgeted:
    works: Works
    budgets: NotedBudgets
    spending: Spending
    counted: Counted

    async def spent(self, name: str) -> int:
        return await self.budgets.spent(name)


@asynccontextmanager
async def budgeted(
    setup: Setup, folder: Path, *budgets: Budget, first_guess: int = 100, **more: Any
) -> AsyncIterator[Budgeted]:
    """A pipeline under `budgets`."""
    noted, counted = NotedBudgets(), Counted()
    spending = Spending(
        noted,
        Forecast(TokenEstimator([]), first_guess=first_guess),
        refused=counted.refused.append,
        unavailable=counted.missed,
    )
    spending.configure(budgets)
    async with works_over(setup, folder, spending=spending, **more) as works:
        yield Budgeted(works=works, budgets=noted, spending=spending, counted=counted)


_OF_ACME: dict[str, Any] = {"window": "total", "tenant": "acme"}


def usd(limit: Decimal | str, name: str = "money", **more: Any) -> Budget:
    return Budget(name=name, measure="usd", limit=nanodollars(Decimal(limit)), **{**_OF_ACME, **more})


def at_most(limit: int, measure: Measure = "requests", name: str = "", **more: Any) -> Budget:
    return Budget(name=name or measure, measure=measure, limit=limit, **{**_OF_ACME, **more})


def taken(cost: Decimal = COST, tokens: int = 5) -> Amount:
    return Amount(requests=1, tokens=tokens, usd=nanodollars(cost))
