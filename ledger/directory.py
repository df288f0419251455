"""Keys, tenants and budgets of the database, held in memory and read again when something has changed.

One cheap question, the number and hash of the newest audit entry, tells whether that is so. While the database is
down, what was known stays; at a start it comes from the snapshot. The non-obvious decision: whoever changes
something in this process has the directory read before it answers, so that a made key works at once and a revoked
one does not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from contracts.access import Known
from ledger.audit_log import Head, newest, record_configuration
from ledger.database import Database
from ledger.snapshot import Snapshot
from ledger.stored_budgets import read_budgets
from ledger.stored_keys import read_keys
from ledger.stored_tenants import read_tenants

log = logging.getLogger("weir.ledger")


class Directory:
    """What `database` knows of access, looked at every `refresh_s` seconds. `snapshot` outlives this process."""

    def __init__(self, database: Database, *, refresh_s: float = 1.0, snapshot: Snapshot | None = None) -> None:
        self._database = database
        self._refresh_s = refresh_s
        self._snapshot = snapshot
        self._listeners: list[Callable[[Known], None]] = []
        self._to_record: list[tuple[str, str]] = []
        self._refreshing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._down = False
        self._head = Head()
        self.was_read = False
        """Whether the database has been read at least once, so that what is not known is not there."""
        self.known = snapshot.read() if snapshot is not None else None
        """None where neither the database nor a snapshot has told anything yet."""

    @property
    def database_up(self) -> bool:
        """Whether the last reading succeeded."""
        return self.was_read and not self._down

    def follow(self, listener: Callable[[Known], None]) -> None:
        """Have `listener` called with what is known now, if anything is, and after each change. It raises none."""
        self._listeners.append(listener)
        if self.known is not None:
            listener(self.known)

    def record_configuration(self, digest: str, source: str) -> None:
        """Have the audit log say that this configuration is in force, as soon as the database answers."""
        self._to_record.append((digest, source))

    async def first_look(self, patience_s: float = 5.0) -> None:
        """Read the database before the first request, if it answers in time; without it, what is known does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._look()

    def start(self) -> None:
        """Begin to look every `refresh_s` seconds."""
        self._task = asyncio.create_task(self._run(), name="directory")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def refresh(self) -> None:
        """Read the database now, if anything has changed. Raises what the driver raises."""
        async with self._refreshing:
            await self._database.prepare()
            async with self._database.reading() as connection:
                head = await newest(connection)
                if self.was_read and head == self._head:
                    return
                found = Known(
                    keys=tuple(await read_keys(connection)),
                    tenants=tuple(await read_tenants(connection)),
                    budgets=tuple(await read_budgets(connection)),
                )
            self.was_read, self._head = True, head
            if found != self.known:
                self.known = found
                for listener in self._listeners:
                    listener(found)
            await asyncio.to_thread(self._keep, found)

    def _keep(self, known: Known) -> None:
        if self._snapshot is None:
            return
        try:
            self._snapshot.write(known)
        except OSError as error:
            log.warning("The last known keys cannot be kept for a start without the database: %s", error)

    async def _run(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(self._refresh_s)

    async def _look(self) -> None:
        try:
            await self.refresh()
            while self._to_record:
                await record_configuration(self._database, *self._to_record[0])
                del self._to_record[0]
        # Whatever a driver raises, what is known so far stays and the task lives on.
        except Exception as error:  # noqa: BLE001
            if not self._down:
                log.warning("Keys cannot be read (%s: %s). %s", type(error).__name__, error, self._kept())
            self._down = True
        else:
            self._down = False

    def _kept(self) -> str:
        return "Only those of the configuration are known." if self.known is None else "Those known so far stay."
