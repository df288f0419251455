"""Carries events from the spool to the database: in batches, each exactly once, whatever crashes in between.

Only events that are not there are inserted, and a segment is deleted only after its commit, so a crash in
between means that some are offered twice and kept once. While the database is down nothing is lost and
nobody waits: events stay on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from time import monotonic

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from ledger.database import Database
from ledger.incoming import Incoming, incoming
from ledger.intake import Intake
from ledger.segment import record_of
from ledger.spool import REJECTED, Spool

log = logging.getLogger("weir.ledger")

_LONGEST_PAUSE_S = 30.0
_REFUSING = ("22", "23", "54")  # SQLSTATE classes: bad data, constraint, limit exceeded


@dataclass(frozen=True, slots=True)
class _Batch:
    """`lines` of the segment were read, up to its offset `end`."""

    events: list[Incoming]
    damaged: list[bytes]
    rejected: list[tuple[bytes, str]]
    lines: int
    end: int


class Writer:
    """One background task. `flush_s` is the time between two flushes, `batch` the most rows in a transaction.

    `tags` are the names of tags that roll-ups tell apart.
    """

    def __init__(
        self,
        spool: Spool,
        database: Database,
        *,
        flush_s: float = 0.5,
        batch: int = 500,
        tags: Sequence[str] = (),
    ) -> None:
        self._spool = spool
        self._database = database
        self._intake = Intake(database)
        self._flush_s = flush_s
        self._batch = batch
        self._tags = tuple(tags)
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._failures = 0
        self._retry_at = 0.0
        self.written = 0
        """Events known to be in the database through this writer."""
        self.rejected = 0
        """Whole records that were set aside: the database will not have them, or they cannot be read."""
        self.damaged = 0
        """Torn or corrupt lines that were set aside."""
        self.database_up = False
        self.pause_s = 0.0
        """How long the database is left alone after the last failure; 0 while it is up."""

    @property
    def events_waiting(self) -> int:
        return self._spool.events_waiting

    @property
    def bytes_waiting(self) -> int:
        return self._spool.bytes_waiting

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="ledger writer")

    async def stop(self) -> None:
        """Flush once more, then end. With the database down, what waits stays on disk for the next start."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        await self.flush(at_once=True)
        if self.database_up and self.events_waiting:
            await self.flush()  # the first one was the end of an outage, and shipped the backlog only

    async def flush(self, *, at_once: bool = False) -> None:
        """Ship everything that is spooled now.

        A database that was down is left alone for `pause_s`, unless `at_once`. Never raises for its faults.
        """
        async with self._flushing:
            await asyncio.to_thread(self._spool.tend)
            if monotonic() < self._retry_at and not at_once:
                return
            before = self.rejected + self.damaged
            try:
                await self._database.prepare()
                await self._ship()
            # Whatever a driver raises, events must stay on disk and this task alive.
            except Exception as error:  # noqa: BLE001
                self._went_down(error)
            else:
                self._came_up()
            if aside := self.rejected + self.damaged - before:
                log.error("%d records were set aside: %s in the spool's folder says why.", aside, REJECTED)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            await self.flush()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._flush_s)

    async def _ship(self) -> None:
        # During an outage the backlog is tried alone: a new file at each try would be thousands of them.
        if not self._failures or not self._spool.sealed():
            await asyncio.to_thread(self._spool.seal)
        for segment in self._spool.sealed():
            lines = segment.lines()
            # While the database is at work, the next batch is read.
            reading = asyncio.create_task(asyncio.to_thread(self._read, lines))
            try:
                while batch := await reading:
                    reading = asyncio.create_task(asyncio.to_thread(self._read, lines))
                    await self._insert(batch.events)
                    await self._set_aside(batch)
                    self._spool.committed(segment, batch.end, batch.lines)
            finally:
                await asyncio.wait([reading])
            await asyncio.to_thread(self._spool.release, segment)

    def _read(self, lines: Iterator[tuple[bytes, int]]) -> _Batch | None:
        """The next batch of a segment, or None at its end."""
        taken = list(islice(lines, self._batch))
        if not taken:
            return None
        events, damaged, rejected = [], [], []
        for line, _ in taken:
            record, damage = record_of(line)
            if damage:
                damaged.append(damage)
            if record is None:
                continue
            try:
                events.append(incoming(record, self._tags))
            except ValueError as error:
                rejected.append((record, str(error)))
        return _Batch(events=events, damaged=damaged, rejected=rejected, lines=len(taken), end=taken[-1][1])

    async def _set_aside(self, batch: _Batch) -> None:
        """What of the batch cannot be read: last, so that it is done once where the database is down."""
        for damage in batch.damaged:
            await asyncio.to_thread(self._spool.set_aside, damage, "torn or corrupt")
            self.damaged += 1
        for record, reason in batch.rejected:
            await asyncio.to_thread(self._spool.set_aside, record, reason)
            self.rejected += 1

    async def _insert(self, events: Sequence[Incoming]) -> None:
        """Insert `events`; of those, set aside what the database refuses, found by halving."""
        if not events:
            return
        try:
            refused = await self._intake.insert(events)
        except Exception as error:
            if not _is_refusal(error):
                raise
            if len(events) == 1:
                refused = [(events[0], f"{type(error).__name__}: {error}")]
            else:
                middle = len(events) // 2
                await self._insert(events[:middle])
                await self._insert(events[middle:])
                return
        for event, reason in refused:
            await asyncio.to_thread(self._spool.set_aside, event.record, reason)
        self.rejected += len(refused)
        self.written += len(events) - len(refused)

    def _went_down(self, error: Exception) -> None:
        if self.database_up or not self._failures:
            log.warning(
                "The database %s takes no events (%s: %s). They wait on disk and are written when it is back.",
                self._database.name,
                type(error).__name__,
                error,
            )
        self.database_up = False
        self._database.doubt()
        self.pause_s = min(_LONGEST_PAUSE_S, self._flush_s * 2 ** min(self._failures, 16))
        self._failures += 1
        self._retry_at = monotonic() + self.pause_s

    def _came_up(self) -> None:
        if self._failures:
            log.warning("The database %s takes events again; those that waited are written.", self._database.name)
        self._failures = 0
        self._retry_at = 0.0
        self.pause_s = 0.0
        self.database_up = True


def _is_refusal(error: Exception) -> bool:
    """Whether the fault lies in the rows. When in doubt it does not: then they wait, instead of being set aside."""
    if isinstance(error, IntegrityError | DataError | OverflowError):
        return True
    # Errors of a COPY are the driver's own.
    state = str(getattr(getattr(error, "orig", error), "sqlstate", "") or "")
    if state or isinstance(error, DBAPIError):
        return state.startswith(_REFUSING)
    return isinstance(error, StatementError)  # a value its column cannot hold, found before it was sent
