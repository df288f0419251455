"""The ledger's writer as a process of its own: what a server spools is written to the database beside it.

To parse and insert an event costs as much as to answer a request, and in one process answers would wait for it.
It reads its settings as one line of JSON from standard input (a database's URL may hold a password) and goes on
until another line comes, when the server stops, or that input ends, when the server has died, however it died.
Then it ships what is left.

There is one for each spool folder at a time. A second one stands by, and takes over when the first is ending.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import uvloop

from ledger.writer_report import WriterReport, write_report
from system.files import is_closed, try_lock

if TYPE_CHECKING:
    from ledger.writer import Writer

LOCK = "writer.lock"
_REPORT_S = 1.0
_DYING_S = 0.05
_CLOSING_S = 5.0
"""Bounds the wait for a process that is dead: soon another may have its number."""


def main() -> None:
    spare_the_collector()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # meant for the server, whose end is this one's too
    settings = orjson.loads(sys.stdin.buffer.readline())
    logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("weir").setLevel(settings["log_level"])
    uvloop.run(_work(settings))


def spare_the_collector() -> None:
    """Batches are thousands of objects that live for a moment, none of them in a cycle."""
    gc.set_threshold(50_000, 20, 50)


async def _work(settings: dict[str, Any]) -> None:
    ended = asyncio.create_task(_end(settings["server"]), name="end of the server")
    folder = Path(settings["spool"])
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while not try_lock(lock):
        if ended.done():
            return  # who has it ships the rest
        await _within(ended, settings["flush_s"])
    # Late, for the writers that stand by, all but one of several workers': it is two thirds of their memory.
    from ledger.database import Database
    from ledger.spool import Spool
    from ledger.upkeep import Upkeep
    from ledger.writer import Writer

    database = Database(settings["url"])
    spool = Spool(folder, fsync=settings["fsync"])
    tags, keep_days = tuple(settings["tags"]), settings["keep_days"]
    writer = Writer(spool, database, flush_s=settings["flush_s"], batch=settings["batch"], tags=tags)
    writer.start()
    upkeep = Upkeep(database, tags=tags, keep_days=keep_days)
    upkeep.start()
    while not await _within(ended, _REPORT_S):
        _report(folder, writer)
    os.close(lock)  # before the last look into the folder: who ends standing by relies on it
    await upkeep.stop()
    await writer.stop()
    _report(folder, writer)
    spool.close()
    await database.close()


async def _end(server: int) -> None:
    """Returns when the process `server` says so, or has died and let go of its segments."""
    loop = asyncio.get_running_loop()
    said = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), said.set)
    await said.wait()
    loop.remove_reader(sys.stdin.fileno())
    if sys.stdin.buffer.read(1):
        return
    await asyncio.to_thread(_wait_until_closed, server)


def _wait_until_closed(server: int) -> None:
    while os.getppid() == server:
        time.sleep(_DYING_S)
    # Its child may be orphaned by one thread of a dying process while another has not closed the files yet.
    until = time.monotonic() + _CLOSING_S
    while not is_closed(server) and time.monotonic() < until:
        time.sleep(_DYING_S)


async def _within(task: asyncio.Task[None], seconds: float) -> bool:
    """Whether `task` ends within `seconds`."""
    done, _ = await asyncio.wait([task], timeout=seconds)
    return bool(done)


def _report(folder: Path, writer: Writer) -> None:
    report = WriterReport(
        at=time.time(),
        database_up=writer.database_up,
        events_waiting=writer.events_waiting,
        written=writer.written,
        rejected=writer.rejected,
    )
    with suppress(OSError):  # a full disk: the server sees an old report, which says as much
        write_report(folder, report)


if __name__ == "__main__":
    main()
