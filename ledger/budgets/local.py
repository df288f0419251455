"""Budgets counted in this process: exact, because nothing here waits between looking and counting.

What a crashed process had set aside is gone with it; what it had spent is asked of the ledger at the next start.
Until that is known, a hard budget refuses, or lets pass, as configured. The non-obvious decision: what is added
then is what the ledger has more than was counted when it was asked. A request that ends while the ledger is being
read may count twice: so a budget made while requests run may be short by what ended in that moment, never long.

A request counts in the window in which it was set aside, whenever it ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from contracts.budgets import Amount, Budget, Claim, Left, Standing
from contracts.errors import LimitReached
from ledger.budgets.accounts import (
    Account,
    Accounts,
    Alert,
    SpentSoFar,
    Values,
    WhenDown,
    alert_safely,
    checked,
    share_of,
    version_of,
)
from ledger.budgets.books import Book, Tally
from ledger.budgets.refusals import left_of, refusal, unavailable
from ledger.budgets.under_way import ADMITTED, UnderWay
from ledger.budgets.windows import SteadyClock, span_at

log = logging.getLogger("weir.budgets")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0
_START_S = 5.0
_ONE = Amount(requests=1)


@dataclass(frozen=True, slots=True)
class _Hold:
    """What a model has set aside where, and what was left then."""

    parts: Sequence[tuple[Tally, int]]
    left: Sequence[Left]


class LocalBudgets:
    """Implements `contracts.budgets.Budgets` and `Standings`.

    `spent_so_far` None: nothing was spent before. `when_down` is for hard budgets while the ledger cannot be asked.
    `alert` is told of each share that is crossed, and must not raise. `clock` gives seconds since the epoch. Off
    `alone`, other processes spend too and nobody counts for all: then of no hard budget it is known what is left.
    """

    def __init__(
        self,
        *,
        spent_so_far: SpentSoFar | None = None,
        when_down: WhenDown = "refuse",
        alert: Alert = lambda _: None,
        clock: Callable[[], float] = time.time,
        alone: bool = True,
    ) -> None:
        self.refused: dict[str, int] = {}
        """By budget, how many requests it refused."""
        self.unavailable = 0
        """Requests refused because it could not be told what is left."""
        self._spent_so_far = spent_so_far
        self._when_down = when_down
        self._alert = alert
        self._clock = SteadyClock(clock)
        self._alone = alone
        self._accounts = Accounts()
        self._books: dict[str, Book] = {}
        self._under_way: UnderWay[_Hold] = UnderWay()
        self._asked = asyncio.Event()
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def up(self) -> bool:
        """Whether it is known of every budget what was spent."""
        return all(book.complete for book in self._books.values())

    @property
    def waiting(self) -> int:
        """Settled requests that are not counted yet."""
        return 0

    async def start(self) -> None:
        """Ask the ledger, for a while, and go on asking in the background while it does not answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._complete(at_start=True)
        self._task = asyncio.create_task(self._keep_complete(), name="budgets: what was spent")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    def configure(self, budgets: Sequence[Budget]) -> None:
        now = self._clock()
        before, self._books = self._books, {}
        for budget in budgets:
            version = version_of(budget)
            book = before.get(version)
            if book is None:
                known = self._spent_so_far is None
                book = Book(budget, span_at(budget.window, now), complete=known, alone=self._alone)
            book.take_up(budget)
            self._books[version] = book
        self._accounts = Accounts(budgets)
        self._asked.set()

    async def admit(self, claim: Claim) -> Sequence[Left]:
        accounts = self._accounts.for_admission(claim)
        return self._take(claim, ADMITTED, accounts, _ONE) if accounts else ()

    async def reserve(self, claim: Claim, model: str, amount: Amount) -> Sequence[Left]:
        checked(amount)
        accounts = self._accounts.for_model(claim, model)
        return self._take(claim, model, accounts, amount) if accounts else ()

    def settle(self, claim: Claim, spent: Mapping[str, Amount]) -> None:
        if not self._books:
            return
        holds = self._under_way.end(claim.request_id)
        if holds is None:
            return
        _give_back(holds)
        for model, amount in spent.items():
            for tally in self._tallies(claim, model, holds.get(model)):
                tally.spent += max(0, share_of(amount, tally.account.budget))
                self._warn(tally)

    async def standings(self) -> Sequence[Standing]:
        now = self._clock()
        found: list[Standing] = []
        for book in self._books.values():
            self._turn(book, now)
            found += book.standings()
        return found

    # --- counting

    def _take(self, claim: Claim, name: str, accounts: Sequence[Account], amount: Amount) -> Sequence[Left]:
        hold = self._under_way.hold_of(claim.request_id, name)
        if hold is not None:
            return hold.left
        if self._under_way.has_ended(claim.request_id):
            return ()
        now = self._clock()
        parts = self._room_for(amount, accounts, now)
        for tally, taken in parts:
            if name == ADMITTED:
                tally.spent += taken
                self._warn(tally)
            else:
                tally.held += taken
        left = [left_of(tally.account, tally.spent + tally.held, tally.span) for tally, _ in parts]
        if endless := self._under_way.endless():
            _give_back(endless[1])
        self._under_way.keep(claim.request_id, name, _Hold(parts, left))
        return left

    def _room_for(self, amount: Amount, accounts: Sequence[Account], now: float) -> list[tuple[Tally, int]]:
        """What each account would take. Raises where one has no room for it."""
        parts = [(self._tally(account, now), share_of(amount, account.budget)) for account in accounts]
        for tally, taken in parts:
            budget = tally.account.budget
            if not budget.hard or not taken:
                continue
            if not self._books[tally.account.version].complete and self._when_down == "refuse":
                self.unavailable += 1
                raise unavailable(tally.account)
            if tally.spent + tally.held + taken > budget.limit:
                raise self._refuse(tally, taken, now)
        return parts

    def _refuse(self, tally: Tally, taken: int, now: float) -> LimitReached:
        budget = tally.account.budget
        self.refused[budget.name] = self.refused.get(budget.name, 0) + 1
        if taken <= budget.limit:
            self._tell(tally, 1.0)
        return refusal(tally.account, taken, tally.spent + tally.held, tally.span, now)

    def _tallies(self, claim: Claim, model: str, hold: _Hold | None) -> Iterable[Tally]:
        """Those that hold a part, in whichever window that was, and those of budgets that are newer."""
        now = self._clock()
        found = {tally.account.version: tally for tally, _ in hold.parts} if hold is not None else {}
        for account in self._accounts.for_model(claim, model):
            if account.version not in found:
                found[account.version] = self._tally(account, now)
        return found.values()

    def _tally(self, account: Account, now: float) -> Tally:
        book = self._books[account.version]
        self._turn(book, now)
        return book.tally(account)

    def _turn(self, book: Book, now: float) -> None:
        if not book.span.holds(now):
            book.turn(now)
            if not book.complete:
                self._asked.set()

    # --- alerts

    def _warn(self, tally: Tally, *, quietly: bool = False) -> None:
        book = self._books.get(tally.account.version)
        for share, amount in book.warnings if book is not None else ():
            if tally.spent >= amount:
                self._tell(tally, share, quietly=quietly)

    def _tell(self, tally: Tally, share: float, *, quietly: bool = False) -> None:
        limit = tally.account.budget.limit
        if (share, limit) in tally.told:
            return
        tally.told.add((share, limit))
        if not quietly:
            alert_safely(self._alert, tally.account.crossing(share, tally.spent, tally.span))

    # --- what was spent before

    async def _keep_complete(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            if await self._complete():
                pause_s = _FIRST_PAUSE_S
                await self._asked.wait()
                self._asked.clear()
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    async def _complete(self, *, at_start: bool = False) -> bool:
        """Ask the ledger about the budgets of which it is not known. Whether it answered.

        What was crossed before a start was told then; what a budget that is new finds crossed is told now.
        """
        for book in [book for book in self._books.values() if not book.complete]:
            self._turn(book, self._clock())
            span, counted = book.span, book.spent()
            try:
                found = await self._ask(book.budget, span.begins_at)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is asked again
                if not self._failing:
                    log.warning("What was spent of budget '%s' cannot be told yet (%s).", book.budget.name, error)
                self._failing = True
                return False
            if book.span is span and not book.complete:
                for tally in book.add({values: spent - counted.get(values, 0) for values, spent in found.items()}):
                    self._warn(tally, quietly=at_start)
        if self._failing:
            log.warning("What was spent of all budgets is known now.")
        self._failing = False
        return True

    async def _ask(self, budget: Budget, begin: datetime | None) -> Mapping[Values, int]:
        return {} if self._spent_so_far is None else await self._spent_so_far(budget, begin)


def _give_back(holds: Mapping[str, _Hold]) -> None:
    for name, hold in holds.items():
        for tally, taken in hold.parts if name != ADMITTED else ():
            tally.held -= taken
