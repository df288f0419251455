"""Brings the counters in Redis up to what the ledger has, before a budget is relied on and where some may be
missing.

What is added is what the ledger has more than was counted when it was asked: so a budget that is counted
already gets nothing twice, whoever else does the same. The non-obvious decision: that a budget is counted in
full is marked in Redis with a lease, which the processes that count it renew. Where nobody has for a while, it
is asked of the ledger again, so a budget that was taken away and put back is not taken for unspent.

After a loss it waits a moment first: what other replicas have spent reaches the ledger's database within a
second.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from contracts.budgets import Budget
from ledger.budgets.accounts import SpentSoFar, account_of, version_of
from ledger.budgets.counters import Counters
from ledger.budgets.link import Link, end
from ledger.budgets.tabs import Tab

log = logging.getLogger("weir.budgets")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 10.0


class Topping:
    """One background task. `complete` once all budgets are marked; minute budgets need no mark.

    `settling_s` is how long after a loss the ledger is given to take what was spent before.
    """

    def __init__(
        self,
        counters: Counters,
        link: Link,
        spent_so_far: SpentSoFar | None,
        *,
        lease_s: float,
        settling_s: float,
    ) -> None:
        self._counters = counters
        self._link = link
        self._spent_so_far = spent_so_far
        self._lease_s = lease_s
        self._settling_s = settling_s
        self._budgets: dict[str, Budget] = {}
        self._again: set[str] = set()
        """Budgets to look at though they are marked."""
        self._asked = asyncio.Event()
        self._failing = False
        self.complete = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def configure(self, budgets: Sequence[Budget]) -> None:
        before = self._budgets
        self._budgets = {version_of(budget): budget for budget in budgets if budget.window != "minute"}
        self._again |= self._budgets.keys() - before.keys()
        self._link.versions = list(self._budgets)
        self.ask()

    def ask(self) -> None:
        """See whether all budgets are marked."""
        self.complete.clear()
        self._asked.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="budgets: what was spent")

    async def stop(self) -> None:
        await end(self._task)
        self._task = None

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            await self._asked.wait()
            self._asked.clear()
            if not self._link.up:
                continue  # it asks when it is
            try:
                await self._top_up()
            except self._link.faults as error:
                self._link.failed(error)
            except Exception as error:  # noqa: BLE001 - whatever a driver raises, it is asked again
                if not self._failing:
                    log.warning("What was spent of budgets cannot be told yet (%s).", error)
                self._failing = True
            else:
                pause_s = _FIRST_PAUSE_S
                if not self._asked.is_set():
                    self.complete.set()
                continue
            await asyncio.sleep(pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            self._asked.set()

    async def _top_up(self) -> None:
        if self._link.bereaved:
            self._link.bereaved = False
            self._again |= self._budgets.keys()
            await asyncio.sleep(self._settling_s)
        marked = await self._counters.marked(list(self._budgets))
        for version, budget in list(self._budgets.items()):
            tab = self._link.tab(account_of(budget, ("",) * len(budget.each)))
            again = version in self._again
            if again or marked.get(version, tab.span.end) > tab.span.begin:
                while not await self._top_up_one(budget, tab, again=again):  # noqa: ASYNC110 - others are elsewhere
                    await asyncio.sleep(random.uniform(0, _FIRST_PAUSE_S))  # noqa: S311 - and not in step
                self._again.discard(version)
        if self._failing:
            log.warning("What was spent of all budgets is known now.")
        self._failing = False

    async def _top_up_one(self, budget: Budget, tab: Tab, *, again: bool) -> bool:
        """False where another process did the same meanwhile."""
        epoch = self._link.epoch
        times = await self._counters.times_seeded(tab)
        present = [Tab(account_of(budget, values), tab.span) for values in await self._counters.values_of(tab)]
        figures = await self._counters.read(epoch, present)
        counted = {one.account.values: spent for one, (spent, _) in zip(present, figures, strict=False)}
        found = {} if self._spent_so_far is None else await self._spent_so_far(budget, tab.span.begins_at)
        missing = [
            (Tab(account_of(budget, values), tab.span), spent - counted.get(values, 0))
            for values, spent in found.items()
            if spent > counted.get(values, 0)
        ]
        said = await self._counters.seed(epoch, tab, self._lease_s, missing, again=again, times=times)
        if said.word == "lost":
            self._link.forgotten()
        for (one, _), spent in zip(missing, said.figures, strict=False):
            self._link.look(one, spent)
        return said.word != "turned"
