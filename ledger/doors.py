"""The ledger as the ports that the admin and decision pages use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from contracts.errors import LedgerUnavailable
from contracts.records import UsageEvent
from ledger.database import Database
from ledger.events import find_event, from_json
from ledger.outages import outage_as
from ledger.segment import read_lines, record_of
from ledger.spool import segments

_MOST_BYTES = 32 * 1024 * 1024
_CHUNK = 256 * 1024


class StoredEvents:
    """Implements `contracts.ports.EventArchive`: events that wait in the spool in `folder`, then the database's.

    In this order, since an event leaves the spool only once it is in the database.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._searching = asyncio.Lock()

    async def find(self, request_id: str) -> UsageEvent | None:
        async with self._searching:  # one at a time: it reads files
            event = await asyncio.to_thread(find_waiting, self._folder, request_id)
        if event is not None:
            return event
        with outage_as(LedgerUnavailable):
            return await find_event(self._database, request_id, None)


def find_waiting(folder: Path, request_id: str) -> UsageEvent | None:
    """The event of one request in the spool, whichever process wrote it; among the last 32 MB, newest first."""
    named = b'"%s"' % request_id.encode()
    left = _MOST_BYTES
    for path in reversed(segments(folder)):
        if left <= 0:
            break
        for line in _lines_with(path, named):
            record, _ = record_of(line)
            if record is not None:
                with suppress(ValueError):  # of a later Weir
                    event = from_json(record)
                    if event.request_id == request_id:
                        return event
        with suppress(FileNotFoundError):
            left -= path.stat().st_size
    return None


def _lines_with(path: Path, named: bytes) -> Iterator[bytes]:
    """Lines are told apart only where there is something to find: most files hold nothing, and answers wait."""
    if _holds(path, named):
        for line in read_lines(path):
            if named in line:
                yield line


def _holds(path: Path, named: bytes) -> bool:
    with suppress(FileNotFoundError), path.open("rb") as file:
        before = b""
        while chunk := file.read(_CHUNK):
            if named in before + chunk:
                return True
            before = chunk[-len(named) :]
    return False
