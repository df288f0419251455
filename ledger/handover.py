"""A server's side of the ledger: what it has spooled is handed over to the ledger's writer, again and again.

Not while the writer has yet to take what was handed over before: in a long outage a file at each turn would be
thousands, and the writer holds each of them open.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from contracts.errors import LedgerUnavailable
from ledger.events import from_json
from ledger.segment import Segment, record_of
from ledger.spool import Spool


class Handover:
    """One background task. Every `flush_s` seconds the spool is tended and lets go of what it holds."""

    def __init__(self, spool: Spool, *, flush_s: float) -> None:
        self._spool = spool
        self._flush_s = flush_s
        self._handed_over: list[Path] = []
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger handover")

    async def stop(self) -> None:
        """Hand over the rest, then end."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await asyncio.to_thread(self._turn, last=True)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await asyncio.to_thread(self._turn)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._flush_s)

    def _turn(self, *, last: bool = False) -> None:
        self._spool.tend()
        with suppress(OSError, LedgerUnavailable):  # a fault of the disk: all is kept until the next turn
            if last or not any(path.exists() for path in self._handed_over):
                self._hand_over()

    def _hand_over(self) -> None:
        self._spool.seal()
        sealed = self._spool.sealed()
        for segment in sealed:
            if not segment.in_place():  # the folder was taken away: to let go of its file would be its end
                self._move(segment)
        self._spool.hand_over()
        self._handed_over = [segment.path for segment in sealed]

    def _move(self, segment: Segment) -> None:
        """Append what is in `segment` again, to a file that can be found. Raises LedgerUnavailable."""
        for line, end in segment.lines():
            record, _ = record_of(line)
            if record is not None:
                self._spool.append(from_json(record))
            self._spool.committed(segment, end, 1)
