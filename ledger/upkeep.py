"""What the database needs besides events: roll-ups that are missing, and old events deleted. Beside the writer.

All of it is done in small steps, and whatever is cut off goes on at the next start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from ledger.backfill import step
from ledger.database import Database
from ledger.retention import InUse, RollUpsIncomplete, prune
from ledger.told_apart import tell_apart

log = logging.getLogger("weir.ledger")

_EVERY_S = 600.0
_AFTER_A_FAULT_S = 30.0


class Upkeep:
    """One background task. `tags`: what roll-ups tell apart. `keep_days`: None keeps events for good."""

    def __init__(self, database: Database, *, tags: Sequence[str], keep_days: int | None) -> None:
        self._database = database
        self._tags = tuple(tags)
        self._keep_days = keep_days
        self._told = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger upkeep")

    async def stop(self) -> None:
        """Break off: what was begun is rolled back."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def turn(self, now: datetime) -> None:
        """All that is to be done at `now`. Raises what the driver raises."""
        await self._database.prepare()
        if not self._told:  # once: replicas with other tags would take turns else, for as long as they run
            await tell_apart(self._database, self._tags)
            self._told = True
        days = 0
        while await step(self._database, self._tags):
            days += 1
        if days:
            log.warning("The roll-ups of %d days were built; reports are quick from now on.", days)
        if self._keep_days is not None:
            await self._prune(now - timedelta(days=self._keep_days))

    async def _prune(self, before: datetime) -> None:
        """Whole days only."""
        deleted = 0
        with suppress(InUse, RollUpsIncomplete):  # then at the next turn
            async for number in prune(self._database, before.replace(hour=0, minute=0, second=0, microsecond=0)):
                deleted += number
                await asyncio.sleep(0.01)  # for SQLite's other writers
        if deleted:
            log.warning("%d events older than %d days were deleted; their sums stay.", deleted, self._keep_days)

    async def _run(self) -> None:
        while True:
            pause_s = _EVERY_S
            try:
                await self.turn(datetime.now(UTC))
            # The writer says what is wrong with the database; this one only tries again.
            except Exception as error:  # noqa: BLE001
                log.info("The ledger's upkeep waits: %s: %s", type(error).__name__, error)
                pause_s = _AFTER_A_FAULT_S
            await asyncio.sleep(pause_s)
