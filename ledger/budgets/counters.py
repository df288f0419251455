"""The counters of budgets in Redis: keys, and the scripts as typed calls.

All keys are in one slot of a cluster. They go by themselves some time after their window has ended, except
those of budgets without an end. The non-obvious need: Redis must not evict keys (`maxmemory-policy noeviction`),
since a counter that is gone is money.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from ledger.budgets import scripts
from ledger.budgets.accounts import Values
from ledger.budgets.calls import Calls
from ledger.budgets.tabs import Held, Said, Settlement, Tab
from ledger.budgets.under_way import ADMITTED

_REMEMBERED_MS = 300_000
"""How long a request is remembered once it was admitted or settled; one that holds a part, for a day."""
_HOLDING_MS = 86_400_000
_MOST_READ = 500


class Counters:
    """Raises what redis-py raises, and TimeoutError. `deadline_s` is for calls that a request waits for."""

    def __init__(self, url: str, name: str, process: str, *, deadline_s: float, patience_s: float = 2.0) -> None:
        self._calls = Calls(url, deadline_s=deadline_s, patience_s=patience_s)
        self.process = process
        self._name = name

    async def join(self, node: str, lease_s: float, versions: Sequence[str], *, first: bool) -> tuple[str, Said]:
        """The epoch, and `yes` where the node's lease holds; its figure is how many nodes have died."""
        await self._calls.connect()
        keys = [self._key("epoch"), self._key("nodes"), *(self._key(f"s:{version}") for version in versions)]
        epoch, now, alive, died = await self._calls.run(scripts.JOIN, keys, [node, int(lease_s * 1000), int(first)])
        return epoch.decode(), Said("yes" if alive else "no", now / 1000, [died])

    async def take(
        self, epoch: str, node: str, request_id: str, field: str, parts: Sequence[tuple[Tab, int]], *, refuses: bool
    ) -> Said:
        """Count `parts` (`ADMITTED`) or hold them for a model: all or none. Says `taken`, with spent and held of
        each account; `refused`, with its number, spent and held; `unknown` with its number; `lost`, `gone` or
        `turned`.
        """
        counts = field == ADMITTED
        keys = [self._key("epoch"), self._key("nodes"), self._key(f"r:{request_id}")]
        args: list[Any] = [epoch, node, field, int(counts), int(refuses)]
        args.append(_REMEMBERED_MS if counts else _HOLDING_MS)
        for tab, amount in parts:
            budget = tab.account.budget
            kind = "soft" if not budget.hard else "unmarked" if budget.window == "minute" else "hard"
            keys += [self._account(tab), self._index(tab), self._key(f"s:{tab.account.version}")]
            args += [amount, budget.limit, kind, *tab.bounds_ms, tab.until_ms, tab.values]
        return _said(await self._calls.together(scripts.TAKE, keys, args))

    async def settle(self, epoch: str, number: int, settlements: Sequence[Settlement]) -> Said:
        """Says `done`, with what is spent of each line's account, or `lost`. A number counts once."""
        keys = _Keys([self._key("epoch"), self._key(f"n:{self.process}")])
        told = [
            [
                keys.place(self._key(f"r:{settlement.request_id}")),
                [
                    [
                        keys.place(self._account(line.tab)),
                        keys.place(self._index(line.tab)),
                        line.field,
                        str(line.release),
                        str(line.spent),
                        line.tab.until_ms,
                        line.tab.values,
                        str(int(line.once)),
                    ]
                    for line in settlement.lines
                ],
            ]
            for settlement in settlements
        ]
        return _said(
            await self._calls.run(scripts.SETTLE, keys, [epoch, number, _REMEMBERED_MS, orjson.dumps(told)])
        )

    async def hold(self, epoch: str, node: str, held: Sequence[Held]) -> Said:
        """Hold again, whatever the limit. Says `done` or `lost`."""
        keys = _Keys([self._key("epoch")])
        told = [
            [
                keys.place(self._key(f"r:{one.request_id}")),
                one.field,
                [
                    [
                        keys.place(self._account(tab)),
                        keys.place(self._index(tab)),
                        str(amount),
                        tab.until_ms,
                        tab.values,
                    ]
                    for tab, amount in one.parts
                    if amount
                ],
            ]
            for one in held
        ]
        return _said(await self._calls.run(scripts.HOLD, keys, [epoch, node, _HOLDING_MS, orjson.dumps(told)]))

    async def marked(self, versions: Sequence[str]) -> dict[str, int]:
        """Of those that are marked as counted in full, since when, in seconds."""
        if not versions:
            return {}
        async with asyncio.timeout(self._calls.patience_s):
            found = await self._calls.patient.mget([self._key(f"s:{version}") for version in versions])
        return {
            version: int(since) // 1000 for version, since in zip(versions, found, strict=True) if since is not None
        }

    async def times_seeded(self, tab: Tab) -> int:
        """How often `seed` has added to the budget of `tab`."""
        async with asyncio.timeout(self._calls.patience_s):
            return int(await self._calls.patient.get(self._key(f"t:{tab.account.version}")) or 0)

    async def seed(
        self,
        epoch: str,
        tab: Tab,
        lease_s: float,
        amounts: Sequence[tuple[Tab, int]],
        *,
        again: bool,
        times: int,
    ) -> Said:
        """Add what the ledger has and was not counted here, and mark the budget of `tab` as counted in full.

        `again`: though it is marked. Says `done`, with what is spent now, `lost`, or `turned` where `times` is not
        `times_seeded` any more.
        """
        version = tab.account.version
        keys = _Keys([self._key("epoch"), self._key(f"s:{version}"), self._index(tab), self._key(f"t:{version}")])
        told = [[keys.place(self._account(one)), str(amount), one.values] for one, amount in amounts]
        args = [epoch, tab.bounds_ms[0], int(lease_s * 1000), tab.until_ms, int(again), times]
        return _said(await self._calls.run(scripts.SEED, keys, [*args, orjson.dumps(told)]))

    async def tell(self, epoch: str, tab: Tab, share: float) -> bool:
        """Whether it falls to this process to alert that `share` was crossed."""
        field = f"w:{share!r}:{tab.account.budget.limit}"
        keys = [self._key("epoch"), self._account(tab)]
        return _said(await self._calls.run(scripts.TELL, keys, [epoch, field, self.process])).word == "yes"

    async def values_of(self, tab: Tab) -> list[Values]:
        """Whose accounts there are in the window of `tab`'s budget."""
        async with asyncio.timeout(self._calls.patience_s):
            found = await self._calls.patient.smembers(self._index(tab))
        return sorted(tuple(orjson.loads(values)) for values in found)

    async def read(self, epoch: str, tabs: Sequence[Tab]) -> list[tuple[int, int]]:
        """Spent and held of each; nothing where the counters were lost."""
        found: list[tuple[int, int]] = []
        for start in range(0, len(tabs), _MOST_READ):
            some = [self._account(tab) for tab in tabs[start : start + _MOST_READ]]
            keys = [self._key("epoch"), self._key("nodes"), *some]
            figures = _said(await self._calls.run(scripts.READ, keys, [epoch])).figures
            found += zip(figures[::2], figures[1::2], strict=True)
        return found

    async def leave(self, epoch: str, node: str) -> None:
        await self._calls.run(scripts.LEAVE, [self._key("epoch"), self._key("nodes")], [epoch, node])

    async def close(self) -> None:
        await self._calls.close()

    # --- keys

    def _key(self, part: str) -> str:
        return f"{{{self._name}}}:{part}"

    def _account(self, tab: Tab) -> str:
        return self._key(f"a:{tab.name}")

    def _index(self, tab: Tab) -> str:
        return self._key(f"i:{tab.place}")


class _Keys(list[str]):
    """Keys of a script, each once. `place` counts from one, as Lua does."""

    def __init__(self, keys: Sequence[str]) -> None:
        super().__init__(keys)
        self._places = {key: number for number, key in enumerate(keys, 1)}

    def place(self, key: str) -> int:
        found = self._places.get(key)
        if found is None:
            self.append(key)
            found = self._places[key] = len(self)
        return found


def _said(reply: list[Any]) -> Said:
    return Said(reply[0].decode(), reply[1] / 1000, reply[2:])
