"""The ledger's writer as a process of its own, and what can be seen of it from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ledger.database import Database
from ledger.spool import segments
from ledger.tables import usage_events
from ledger.writer_process import WriterProcess


@asynccontextmanager
async def writing(
    url: str, folder: Path, *, flush_s: float = 0.02, tags: Sequence[str] = ()
) -> AsyncIterator[WriterProcess]:
    """A writer, stopped at the end unless it was before."""
    writer = WriterProcess(url, folder, flush_s=flush_s, batch=10, fsync="never", tags=tags)
    writer.start()
    try:
        yield writer
    finally:
        await writer.stop()


async def eventually(check: Callable[[], Any]) -> Any:
    """The first true value of `check()`."""
    async with asyncio.timeout(20):
        while not (value := check()):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
    return value


async def stored(database: Database, number: int) -> set[str]:
    """The ids in the database, once they are `number`."""
    async with asyncio.timeout(20):
        while True:
            async with database.reading() as connection:
                found = set((await connection.execute(select(usage_events.c.request_id))).scalars())
            if len(found) >= number:
                return found
            await asyncio.sleep(0.02)


def command_of(pid: int) -> bytes:
    """Empty where there is no such process, or what is left of one."""
    return _told_by(pid, "cmdline")


def variables_of(pid: int) -> bytes:
    return _told_by(pid, "environ")


def at_work(folder: Path) -> set[int]:
    """The process ids of those that ship from `folder`: they have a segment there."""
    pids = {int(path.stem.rpartition("-")[2]) for path in segments(folder)}
    return {pid for pid in pids if b"ledger.writer_child" in command_of(pid)}


def names(number: int) -> set[str]:
    return {f"r{each}" for each in range(number)}


def _told_by(pid: int, file: str) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/{file}").read_bytes()
    return b""
