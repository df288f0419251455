"""Carries events from the spool to the database: in batches, each exactly once, whatever crashes in between.

Rows are inserted with ON CONFLICT DO NOTHING and a segment is deleted only after its commit, so a crash in
between means that some rows are offered twice and kept once. While the database is down nothing is lost and
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
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, StatementError

from ledger.database import Database
from ledger.events import to_row
from ledger.segment import record_of
from ledger.spool import Spool
from ledger.tables import usage_events

log = logging.getLogger("weir.ledger")

_CHUNK = 50  # rows bound at a time: longer would hold the event loop for milliseconds
_LONGEST_PAUSE_S = 30.0
_REFUSING = ("22", "23", "54")  # SQLSTATE classes: bad data, constraint, limit exceeded

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Batch:
    """`rows` with the records they were made from; `lines` of the segment were read, up to its offset `end`."""

    rows: list[tuple[bytes, Row]]
    lines: int
    end: int


class Writer:
    """One background task. `flush_s` is the time between two flushes, `batch` the most rows in a transaction."""

    def __init__(self, spool: Spool, database: Database, *, flush_s: float = 0.5, batch: int = 500) -> None:
        self._spool = spool
        self._database = database
        self._flush_s = flush_s
        self._batch = batch
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
            try:
                await self._database.prepare()
                await self._ship()
            # Whatever a driver raises, events must stay on disk and this task alive.
            except Exception as error:  # noqa: BLE001
                self._went_down(error)
            else:
                self._came_up()

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
            while batch := await asyncio.to_thread(self._read, lines):
                await self._insert(batch.rows)
                self._spool.committed(segment, batch.end, batch.lines)
            await asyncio.to_thread(self._spool.release, segment)

    def _read(self, lines: Iterator[tuple[bytes, int]]) -> _Batch | None:
        """The next batch of a segment, or None at its end. Lines that cannot be read are set aside."""
        taken = list(islice(lines, self._batch))
        if not taken:
            return None
        rows = []
        for line, _ in taken:
            record, damage = record_of(line)
            if damage:
                self._spool.set_aside(damage, "torn or corrupt")
                self.damaged += 1
            if record is None:
                continue
            try:
                rows.append((record, to_row(record)))
            except ValueError as error:
                self._spool.set_aside(record, str(error))
                self.rejected += 1
        return _Batch(rows=rows, lines=len(taken), end=taken[-1][1])

    async def _insert(self, rows: Sequence[tuple[bytes, Row]]) -> None:
        """Insert `rows`; of those, set aside what the database refuses, found by halving."""
        if not rows:
            return
        try:
            await _insert(self._database, [row for _, row in rows])
        except Exception as error:
            if not _is_refusal(error):
                raise
            if len(rows) == 1:
                await asyncio.to_thread(self._spool.set_aside, rows[0][0], f"{type(error).__name__}: {error}")
                self.rejected += 1
                return
            middle = len(rows) // 2
            await self._insert(rows[:middle])
            await self._insert(rows[middle:])
        else:
            self.written += len(rows)

    def _went_down(self, error: Exception) -> None:
        if self.database_up or not self._failures:
            log.warning(
                "The database %s takes no events (%s: %s). They wait on disk and are written when it is back.",
                self._database.name,
                type(error).__name__,
                error,
            )
        self.database_up = False
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


async def _insert(database: Database, rows: list[Row]) -> None:
    dialect = postgresql if database.dialect == "postgresql" else sqlite
    statement = dialect.insert(usage_events).on_conflict_do_nothing(index_elements=["request_id"])
    async with database.writing() as connection:
        for start in range(0, len(rows), _CHUNK):
            await connection.execute(statement, rows[start : start + _CHUNK])


def _is_refusal(error: Exception) -> bool:
    """Whether the fault lies in the rows. When in doubt it does not: then they wait, instead of being set aside."""
    if isinstance(error, IntegrityError | DataError | OverflowError):
        return True
    if isinstance(error, DBAPIError):
        return str(getattr(error.orig, "sqlstate", "") or "").startswith(_REFUSING)
    return isinstance(error, StatementError)  # a value its column cannot hold, found before it was sent
