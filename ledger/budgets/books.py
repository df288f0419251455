"""The accounts of one budget in its present window, counted in memory.

Those of a past window are let go of together; requests that still hold a part of them keep them alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.budgets import Budget, Standing
from ledger.budgets.accounts import Account, Values, account_of, thresholds
from ledger.budgets.windows import Span, span_at


@dataclass(eq=False, slots=True)
class Tally:
    """One account in one window. `told` are the shares that were alerted, with the limit that they are of."""

    account: Account
    span: Span
    spent: int = 0
    held: int = 0
    told: set[tuple[float, int]] = field(default_factory=set)


class Book:
    """The accounts of one budget in its present window. `complete`: all that was spent in it is counted.

    It never is where others count for themselves, so that this process is not `alone`.
    """

    __slots__ = ("_alone", "_newest", "budget", "complete", "span", "tallies", "warnings")

    def __init__(self, budget: Budget, span: Span, *, complete: bool, alone: bool = True) -> None:
        self.span = span
        self._newest = span.begin
        self.tallies: dict[Values, Tally] = {}
        self._alone = alone
        self.complete = alone and (complete or budget.window == "minute")
        self.take_up(budget)

    def take_up(self, budget: Budget) -> None:
        """The same budget, perhaps with another limit."""
        self.budget = budget
        self.warnings = thresholds(budget)

    def turn(self, now: float) -> None:
        """Nothing was spent yet in a window that begins under our eyes; in one that had begun before there was."""
        span = span_at(self.budget.window, now)
        self.complete = self._alone and (span.begin > self._newest or self.budget.window == "minute")
        self.span, self.tallies = span, {}
        self._newest = max(self._newest, span.begin)

    def tally(self, account: Account) -> Tally:
        found = self.tallies.get(account.values)
        if found is None:
            found = self.tallies[account.values] = Tally(account, self.span)
        found.account = account  # its limit may be another now
        return found

    def spent(self) -> dict[Values, int]:
        return {values: tally.spent for values, tally in self.tallies.items()}

    def add(self, missing: Mapping[Values, int]) -> list[Tally]:
        """What was spent before is known now. Returns the accounts that have it."""
        self.complete = True
        found = []
        for values, amount in missing.items():
            tally = self.tally(account_of(self.budget, values))
            tally.spent += max(0, amount)
            found.append(tally)
        return found

    def standings(self) -> list[Standing]:
        tallies = list(self.tallies.values())
        if not tallies and not self.budget.each:
            tallies = [Tally(account_of(self.budget, ()), self.span)]
        return [
            account_of(self.budget, tally.account.values).standing(tally.spent, tally.held, self.span)
            for tally in tallies
        ]
