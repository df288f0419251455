"""Budgets counted in a Redis that workers and replicas share: exact among all of them, one round trip for each
call.

What this process holds is known here too, so that it is given back, or held again after Redis has lost it.

While Redis cannot be reached, hard budgets refuse or let pass, as configured; soft ones never refuse. Then
nobody waits for it, and what is spent is settled once it is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from contracts.budgets import Amount, Budget, Claim, Left, Standing
from contracts.errors import BudgetUnavailable, LimitReached
from ledger.budgets.accounts import Account, Accounts, Alert, SpentSoFar, WhenDown, account_of, checked, share_of
from ledger.budgets.counters import Counters
from ledger.budgets.link import Link
from ledger.budgets.refusals import left_of, refusal, unavailable
from ledger.budgets.tabs import Held, Line, Said, Settlement, Tab
from ledger.budgets.topping import Topping
from ledger.budgets.under_way import ADMITTED, UnderWay

_TRIES = 3
_START_S = 5.0
_ONE = Amount(requests=1)
_NO_STANDINGS = "The counters of budgets do not answer right now."

Parts = list[tuple[Tab, int]]


@dataclass(frozen=True, slots=True)
class _Hold:
    """What a model has set aside, and what was left then. `sure`: the request went on with it."""

    parts: Parts
    sure: bool
    left: Sequence[Left] = ()


class SharedBudgets:
    """Implements `contracts.budgets.Budgets` and `Standings`. `url` as redis-py takes it; `name` heads all keys.

    `deadline_s` is how long a request waits for Redis, `lease_s` after which what a dead process held comes back.
    At most `most_waiting` settlements wait for Redis. The others as for `LocalBudgets`.

    Raises ModuleNotFoundError without the extra `redis`, ValueError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "weir:budgets",
        spent_so_far: SpentSoFar | None = None,
        when_down: WhenDown = "refuse",
        alert: Alert = lambda _: None,
        deadline_s: float = 0.05,
        lease_s: float = 60.0,
        settling_s: float = 2.0,
        most_waiting: int = 20_000,
    ) -> None:
        self.refused: dict[str, int] = {}
        """By budget, how many requests it refused."""
        self.unavailable = 0
        """Requests refused because it could not be told what is left."""
        self._when_down = when_down
        self._accounts = Accounts()
        self._budgets: Sequence[Budget] = ()
        self._under_way: UnderWay[_Hold] = UnderWay()
        self._counters = Counters(url, name, uuid4().hex, deadline_s=deadline_s)
        self._link = Link(
            self._counters,
            lease_s=lease_s,
            most_waiting=most_waiting,
            held=self._held,
            joined=lambda: self._topping.ask(),
            alert=alert,
        )
        self._topping = Topping(self._counters, self._link, spent_so_far, lease_s=lease_s, settling_s=settling_s)

    @property
    def up(self) -> bool:
        """Whether Redis can be reached, and it is known of every budget what was spent."""
        return self._link.up and self._topping.complete.is_set()

    @property
    def waiting(self) -> int:
        """Settled requests that are not counted yet."""
        return self._link.waiting

    @property
    def uncounted(self) -> int:
        """Settled requests that were dropped, because too many waited."""
        return self._link.uncounted

    async def start(self) -> None:
        """Join the others and see what was spent before; given up after a while, and gone on with in background."""
        self._link.start()
        self._topping.start()
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_S):
                await self._topping.complete.wait()

    async def stop(self) -> None:
        await self._topping.stop()
        await self._link.stop()
        await self._counters.close()

    def configure(self, budgets: Sequence[Budget]) -> None:
        self._budgets = tuple(budgets)
        self._accounts = Accounts(budgets)
        self._topping.configure(budgets)

    async def admit(self, claim: Claim) -> Sequence[Left]:
        accounts = self._accounts.for_admission(claim)
        return await self._take(claim, ADMITTED, accounts, _ONE) if accounts else ()

    async def reserve(self, claim: Claim, model: str, amount: Amount) -> Sequence[Left]:
        checked(amount)
        accounts = self._accounts.for_model(claim, model)
        return await self._take(claim, model, accounts, amount) if accounts else ()

    def settle(self, claim: Claim, spent: Mapping[str, Amount]) -> None:
        if not self._budgets:
            return
        holds = self._under_way.end(claim.request_id)
        if holds is not None and (lines := self._lines(claim, holds, spent)):
            self._link.put(Settlement(claim.request_id, lines))

    async def standings(self) -> Sequence[Standing]:
        found: list[Standing] = []
        if not self._link.up:
            raise BudgetUnavailable(_NO_STANDINGS, retry_after_s=1)
        try:
            for budget in self._budgets:
                tab = self._link.tab(account_of(budget, ("",) * len(budget.each)))
                present = await self._counters.values_of(tab)
                if not present and not budget.each:
                    present = [()]
                tabs = [Tab(account_of(budget, values), tab.span) for values in present]
                figures = await self._counters.read(self._link.epoch, tabs)
                for one, (spent, held) in zip(tabs, figures, strict=False):
                    found.append(one.account.standing(spent, held, one.span))
        except self._link.faults as error:
            raise BudgetUnavailable(_NO_STANDINGS, retry_after_s=1) from error
        return found

    # --- taking

    async def _take(self, claim: Claim, name: str, accounts: Sequence[Account], amount: Amount) -> Sequence[Left]:
        hold = self._under_way.hold_of(claim.request_id, name)
        if hold is not None and hold.sure:
            return hold.left
        if self._under_way.has_ended(claim.request_id):
            return ()
        self._let_go()
        parts, said = await self._ask(claim.request_id, name, accounts, amount)
        if said is not None and said.word == "refused":
            raise self._refuse(parts, said)
        told = said is not None and said.word == "taken"
        blocked = None if told else self._blocked(parts)
        left = () if said is None or not told else _left(parts, said)
        self._under_way.keep(claim.request_id, name, _Hold(parts, blocked is None, left))
        if blocked is not None:
            self.unavailable += 1
            raise unavailable(blocked)
        if said is not None and name == ADMITTED:
            for (tab, _), spent in zip(parts, said.figures[::2], strict=False):
                self._link.look(tab, spent)
        return left

    async def _ask(
        self, request_id: str, name: str, accounts: Sequence[Account], amount: Amount
    ) -> tuple[Parts, Said | None]:
        """What was asked for, and what Redis said to it; None where it cannot be told."""
        link = self._link
        parts: Parts = []
        for _ in range(_TRIES):
            parts = [(link.tab(account), share_of(amount, account.budget)) for account in accounts]
            if not link.up:
                return parts, None
            try:
                said = await self._counters.take(
                    link.epoch, link.node, request_id, name, parts, refuses=self._when_down == "refuse"
                )
            except link.faults as error:
                link.failed(error)
                return parts, None
            link.heard(said.now)
            if said.word in ("lost", "gone"):
                link.forgotten()
                return parts, None
            if said.word == "unknown":
                self._topping.ask()
                return parts, None
            if said.word != "turned":
                return parts, said
        return parts, None

    def _blocked(self, parts: Parts) -> Account | None:
        """Whose account must be known before anything is spent."""
        if self._when_down == "allow":
            return None
        return next((tab.account for tab, taken in parts if taken and tab.account.budget.hard), None)

    def _refuse(self, parts: Parts, said: Said) -> LimitReached:
        place, spent, held = said.figures
        tab, taken = parts[place - 1]
        budget = tab.account.budget
        self.refused[budget.name] = self.refused.get(budget.name, 0) + 1
        if taken <= budget.limit:
            self._link.tell(tab, 1.0, spent)
        return refusal(tab.account, taken, spent + held, tab.span, said.now)

    # --- what is under way

    def _held(self) -> Sequence[Held]:
        return [
            Held(request_id, name, hold.parts)
            for request_id, holds in self._under_way
            for name, hold in holds.items()
            if hold.sure and name != ADMITTED
        ]

    def _lines(self, claim: Claim, holds: Mapping[str, _Hold], spent: Mapping[str, Amount]) -> list[Line]:
        """What is given back, and what each model has spent; also of budgets that are newer than the request."""
        lines: list[Line] = []
        for name, hold in holds.items():
            if name == ADMITTED:
                if hold.sure and not hold.left:  # it went on though nobody could tell whether it was counted
                    lines += [Line(tab, name, 0, taken, once=True) for tab, taken in hold.parts]
                continue
            took = spent.get(name, Amount())
            lines += [
                Line(tab, name, taken, max(0, share_of(took, tab.account.budget))) for tab, taken in hold.parts
            ]
        for model, took in spent.items():
            known = {tab.account.version for tab, _ in holds[model].parts} if model in holds else set()
            for account in self._accounts.for_model(claim, model):
                taken = max(0, share_of(took, account.budget))
                if taken and account.version not in known:
                    lines.append(Line(self._link.tab(account), model, 0, taken))
        return lines

    def _let_go(self) -> None:
        """Of a request that never ended."""
        if endless := self._under_way.endless():
            request_id, holds = endless
            lines = self._lines(Claim(request_id=request_id, tenant="", key_id="", route=""), holds, {})
            self._link.put(Settlement(request_id, lines))


def _left(parts: Parts, said: Said) -> Sequence[Left]:
    figures = said.figures
    return [
        left_of(tab.account, figures[2 * place] + figures[2 * place + 1], tab.span)
        for place, (tab, _) in enumerate(parts)
    ]
