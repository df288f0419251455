"""What ties this process to the counters in Redis, in the background: its lease, what it has yet to settle or to
tell.

States: down, until it has joined; up, until three calls in a row have failed, one here, or Redis has forgotten
it. While it is down no request waits for Redis: only this task tries, and logs once on the way down and once on
the way up.

Where the lease has ended meanwhile, others have dropped what this process held: it takes a new name and holds
it all again. The non-obvious decision: where Redis has lost its data, what waits to be settled is settled at once,
before the ledger is asked what is missing. So it is counted already when that is worked out, and counts once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import uuid4

from ledger.budgets.accounts import Account, Alert, alert_safely, thresholds
from ledger.budgets.counters import Counters
from ledger.budgets.tabs import Held, Line, Settlement, Tab
from ledger.budgets.windows import span_at

log = logging.getLogger("weir.budgets")

_BATCH = 100
_MOST_FAILURES = 3
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_MOST_TOLD = 10_000
_MOST_ALARMS = 1_000


class Link:
    """`held` gives what this process holds now; `joined` is called whenever it has joined anew.

    `uncounted` is how many settlements were dropped because `most_waiting` were waiting.
    """

    def __init__(
        self,
        counters: Counters,
        *,
        lease_s: float,
        most_waiting: int,
        held: Callable[[], Sequence[Held]],
        joined: Callable[[], None],
        alert: Alert,
    ) -> None:
        from redis.exceptions import RedisError

        self.faults = (RedisError, OSError, TimeoutError)
        self.up = False
        self.epoch = ""
        self.node = _name()
        self.versions: Sequence[str] = ()
        """Of the budgets whose marks this process renews."""
        self.uncounted = 0
        self.bereaved = False
        """Something may be missing from the counters: they were lost, or a process has died."""
        self._counters = counters
        self._lease_s = lease_s
        self._most_waiting = most_waiting
        self._held = held
        self._joined = joined
        self._alert = alert
        self._is_new = True
        self._failures = 0
        self._silent = False
        """That it is down was logged."""
        self._ahead_s = time.time() - time.monotonic()
        self._renew_at = 0.0
        self._pending: deque[Settlement] = deque()
        self._batch: list[Settlement] = []
        self._number = 0
        self._told: set[tuple[str, float, int]] = set()
        self._alarms: deque[tuple[Tab, float, int]] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        return len(self._pending) + len(self._batch)

    def now(self) -> float:
        """Seconds since the epoch, by the clock of Redis as it was last heard."""
        return time.monotonic() + self._ahead_s

    def tab(self, account: Account) -> Tab:
        """`account` in the window of now."""
        return Tab(account, span_at(account.budget.window, self.now()))

    def heard(self, now: float) -> None:
        """Redis has answered."""
        self._failures = 0
        self._ahead_s = now - time.monotonic()

    def failed(self, error: BaseException) -> None:
        """A call has failed, which a request had waited for."""
        self._failures += 1
        if self._failures >= _MOST_FAILURES:
            self._go_down(str(error) or type(error).__name__)

    def forgotten(self) -> None:
        """Redis does not know this process any more."""
        self.up = False
        self._wake.set()

    def put(self, settlement: Settlement) -> None:
        if self.waiting >= self._most_waiting and self._pending:
            self._pending.popleft()
            self.uncounted += 1
            self.bereaved = True
        self._pending.append(settlement)
        self._wake.set()

    def look(self, tab: Tab, spent: int) -> None:
        """Alert what `spent` of an account has crossed, unless another process did."""
        for share, amount in thresholds(tab.account.budget) if tab.account.budget.warn_at else ():
            if spent >= amount:
                self.tell(tab, share, spent)

    def tell(self, tab: Tab, share: float, spent: int) -> None:
        crossing = (tab.name, share, tab.account.budget.limit)
        if crossing in self._told or len(self._alarms) >= _MOST_ALARMS:
            return
        if len(self._told) >= _MOST_TOLD:
            self._told.clear()  # Redis knows them all
        self._told.add(crossing)
        self._alarms.append((tab, share, spent))
        self._wake.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="budgets: link")

    async def stop(self) -> None:
        """Settle what waits, if Redis takes it now, and give up the lease."""
        await end(self._task)
        self._task = None
        with suppress(*self.faults):
            if self.up:
                await self._settle_waiting()
                await self._tell_waiting()
                await self._counters.leave(self.epoch, self.node)
        self.up = False

    # --- in the background

    async def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            self._wake.clear()
            try:
                await self._turn()
            except self.faults as error:
                self._go_down(str(error) or type(error).__name__)
            if self.up:
                pause_s = _FIRST_PAUSE_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._renew_at - time.monotonic())):
                        await self._wake.wait()
            else:
                await asyncio.sleep(pause_s * random.uniform(0.5, 1))  # noqa: S311 - not all processes at once
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    async def _turn(self) -> None:
        if not self.up or time.monotonic() >= self._renew_at:
            await self._join()
        await self._settle_waiting()
        await self._tell_waiting()

    async def _join(self) -> None:
        at = time.monotonic()
        epoch, said = await self._counters.join(self.node, self._lease_s, self.versions, first=self._is_new)
        if self.epoch not in ("", epoch):
            self._told.clear()
            self.bereaved = True
            log.warning("The counters of budgets were lost; what the ledger has is counted anew.")
        self.epoch = epoch
        if said.word == "no":
            self.node, self._is_new, self.bereaved = _name(), True, True
            _, said = await self._counters.join(self.node, self._lease_s, self.versions, first=True)
        died = bool(said.figures[0])
        self.bereaved = self.bereaved or died
        self.heard(said.now)
        if self._is_new:
            held = self._held()
            for start in range(0, len(held), _BATCH):
                await self._counters.hold(epoch, self.node, held[start : start + _BATCH])
        fresh, self._is_new = self._is_new or not self.up, False
        self._renew_at = at + self._lease_s / 3
        self.up = True
        if fresh or died:
            self._come_up()

    async def _settle_waiting(self) -> None:
        while self.up and (self._batch or self._pending):
            if not self._batch:
                self._batch = [self._pending.popleft() for _ in range(min(_BATCH, len(self._pending)))]
                self._number += 1
            said = await self._counters.settle(self.epoch, self._number, self._batch)
            if said.word == "lost":
                self.forgotten()
                return
            lines: list[Line] = [line for settlement in self._batch for line in settlement.lines]
            self._batch = []
            for line, spent in zip(lines, said.figures, strict=True):
                self.look(line.tab, spent)

    async def _tell_waiting(self) -> None:
        while self.up and self._alarms:
            tab, share, spent = self._alarms[0]
            mine = await self._counters.tell(self.epoch, tab, share)
            self._alarms.popleft()
            if mine:
                alert_safely(self._alert, tab.account.crossing(share, spent, tab.span))

    def _come_up(self) -> None:
        if self._silent:
            log.warning("The counters of budgets can be reached again.")
        self._silent = False
        self._joined()

    def _go_down(self, reason: str) -> None:
        self.up = False
        self._failures = 0
        self._wake.set()
        if not self._silent:
            log.warning("The counters of budgets cannot be reached: %s.", reason)
        self._silent = True


async def end(task: asyncio.Task[None] | None) -> None:
    """redis-py may swallow a cancellation that meets one of its own timeouts."""
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=0.1)


def _name() -> str:
    return uuid4().hex[:16]
