"""What Weir does on its own account after a client has its answer: a bounded number of tasks at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("weir.errands")


class Errands:
    """At most `most` under way; `skipped` counts those there was no room for. Belongs to one loop.

    `fault` is what the log says of one that raised, as nobody else waits for it.
    """

    def __init__(self, most: int, fault: str) -> None:
        self.skipped = 0
        self._most = most
        self._fault = fault
        self._under_way: set[asyncio.Task[None]] = set()

    def send(self, errand: Coroutine[Any, Any, None], name: str) -> None:
        """Have it done; returns at once. Where there is no room, it is not begun."""
        if len(self._under_way) >= self._most:
            errand.close()
            self.skipped += 1
            return
        task = asyncio.create_task(errand, name=name)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    async def idle(self) -> None:
        """Wait until those under way have ended."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def close(self) -> None:
        """Give up those under way; what they cost until now is settled."""
        for task in self._under_way:
            task.cancel()
        await self.idle()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(self._fault, exc_info=error)
