"""Events that wait in the spool, beside one moment of the database: those that are not in it, each once.

The proof: all segments are opened before the database is looked at. An event that was there then is in one of them,
or its segment had been deleted, and then it had been committed. What is shipped later can still be read, since an
open file outlives its name; where it is in the database's snapshot as well, its id tells.

The non-obvious decision: nothing is kept but ids. After an outage a gigabyte may wait, which is several in memory.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.records import UsageEvent
from ledger.segment import lines_in
from ledger.spool import events_in, segments
from ledger.tables import usage_events

_AT_ONCE = 1000


class Spooled:
    """What was in the spool when it was opened. Made by `spooled_in`."""

    def __init__(self, segments_: Sequence[int]) -> None:
        self._segments = segments_

    async def unshipped(
        self, connection: AsyncConnection, holds: Callable[[UsageEvent], bool]
    ) -> AsyncIterator[list[UsageEvent]]:
        """Some at a time, those for which `holds` is true and that `connection` has not. It sees one moment."""
        events = self._events(holds)
        while some := await asyncio.to_thread(lambda: list(islice(events, _AT_ONCE))):
            known = await _shipped(connection, [event.request_id for event in some])
            yield [event for event in some if event.request_id not in known]

    def _events(self, holds: Callable[[UsageEvent], bool]) -> Iterator[UsageEvent]:
        """Of an id that is there twice the first, as the writer would have it."""
        seen: set[str] = set()
        for segment in self._segments:
            for event in events_in(lines_in(segment)):
                if event.request_id not in seen:
                    seen.add(event.request_id)
                    if holds(event):
                        yield event


@contextmanager
def spooled_in(folder: Path) -> Iterator[Spooled]:
    """To be opened before the database's moment. Raises OSError where a segment cannot be opened."""
    found: list[int] = []
    try:
        for path in segments(folder):
            with suppress(FileNotFoundError):
                found.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        yield Spooled(found)
    finally:
        for segment in found:
            os.close(segment)


async def _shipped(connection: AsyncConnection, request_ids: Sequence[str]) -> set[str]:
    query = select(usage_events.c.request_id).where(usage_events.c.request_id.in_(request_ids))
    return set((await connection.execute(query)).scalars())
