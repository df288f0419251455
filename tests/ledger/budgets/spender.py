"""A process that spends: it reserves one token at a time and settles, until it is refused or told not to settle.

Arguments: URL, name, limit, how many at once, and `settle` or `hold`. Prints `ready` when it holds all it was asked
to, or how many it has spent.
"""

from __future__ import annotations

import asyncio
import os
import sys

from contracts.budgets import Amount, Budget, Claim
from contracts.errors import LimitReached
from ledger.budgets.shared import SharedBudgets


async def spend(url: str, name: str, limit: int, at_once: int, what: str) -> None:
    engine = SharedBudgets(url, name=name, deadline_s=10, lease_s=1.0)
    engine.configure([Budget(name="b", measure="tokens", limit=limit, window="total")])
    await engine.start()
    spent = 0

    async def one(number: int) -> None:
        nonlocal spent
        while True:
            claim = Claim(request_id=f"{os.getpid()}-{number}-{spent}", tenant="a", key_id="k", route="r")
            try:
                await engine.reserve(claim, "m", Amount(tokens=1))
            except LimitReached:
                return
            if what == "hold":
                return
            spent += 1
            engine.settle(claim, {"m": Amount(tokens=1)})

    await asyncio.gather(*(one(number) for number in range(at_once)))
    if what == "hold":
        print("ready", flush=True)
        await asyncio.Event().wait()
    await engine.stop()
    print(spent, flush=True)


if __name__ == "__main__":
    asyncio.run(spend(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
