"""A server's side of the ledger: what it has spooled is handed over to the ledger's writer, again and again."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ledger.spool import Spool


class Handover:
    """One background task. Every `flush_s` seconds the spool is tended and lets go of what it holds."""

    def __init__(self, spool: Spool, *, flush_s: float) -> None:
        self._spool = spool
        self._flush_s = flush_s
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger handover")

    async def stop(self) -> None:
        """Hand over the rest, then end."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await asyncio.to_thread(self._turn)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await asyncio.to_thread(self._turn)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._flush_s)

    def _turn(self) -> None:
        self._spool.tend()
        self._spool.hand_over()
