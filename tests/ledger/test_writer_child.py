"""The writer's side: its server may die and others may write beside it, but each event arrives once."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from contracts.records import UsageEvent
from ledger.database import Database, sqlite_url
from ledger.spool import Spool, segments, waiting
from ledger.writer_child import LOCK
from ledger.writer_process import WriterProcess
from tests.ledger.writing import at_work, command_of, eventually, names, stored, writing

MakeEvent = Callable[..., UsageEvent]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    """The server's."""
    spool = Spool(folder, adopts=False)
    yield spool
    spool.close()


def at_the_lock(writer: WriterProcess, folder: Path) -> int:
    """The process id of `writer`, once it has opened the lock; 0 before."""
    pid = writer._process.pid if writer._process else 0
    with suppress(FileNotFoundError):  # files come and go
        if any(link.readlink() == folder / LOCK for link in Path(f"/proc/{pid}/fd").iterdir()):
            return pid
    return 0


def serve(url: str, folder: Path, events: list[UsageEvent]) -> None:
    """A server that lets go of nothing while it lives. SIGTERM has it close its end of the writer's input."""

    async def run() -> None:
        spool = Spool(folder, adopts=False)
        async with writing(url, folder) as writer:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: writer._process.stdin.close())
            for event in events:
                spool.append(event)
            await asyncio.Event().wait()

    asyncio.run(run())


async def test_a_writer_whose_server_is_killed_ships_what_is_left_and_ends(
    url: str, database: Database, folder: Path, make_event: MakeEvent
) -> None:
    """The kernel closes the files of the dead in any order: here the writer's input first, the segments last."""
    events = [make_event() for _ in range(25)]
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(url, folder, events))
    server.start()
    try:
        (pid,) = await eventually(lambda: at_work(folder))
        await eventually(lambda: len(list(waiting(folder))) == 25)
        server.terminate()
        await asyncio.sleep(0.3)  # a writer that would not wait has ended by now
    finally:
        server.kill()
    await asyncio.to_thread(server.join)
    assert await stored(database, 25) == names(25)
    await eventually(lambda: not command_of(pid))
    assert segments(folder) == []


async def test_of_two_on_one_folder_one_stands_by_and_takes_over(
    url: str, database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    async with writing(url, folder) as first:
        (working,) = await eventually(lambda: at_work(folder))
        async with writing(url, folder) as second:
            other = await eventually(lambda: at_the_lock(second, folder))
            spool.append(make_event())
            spool.hand_over()
            await stored(database, 1)
            assert at_work(folder) == {working}
            await first.stop()
            assert await eventually(lambda: at_work(folder)) == {other}
            spool.append(make_event())
            spool.hand_over()
            assert await stored(database, 2) == names(2)
    assert not command_of(working)
    assert not command_of(other)


async def test_one_that_ends_standing_by_leaves_nothing_behind(
    url: str, database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    """The server of the first has ended, and the second has yet to notice."""
    async with writing(url, folder) as first:
        await eventually(lambda: at_work(folder))
        async with writing(url, folder, flush_s=3600) as second:
            await eventually(lambda: at_the_lock(second, folder))
            await first.stop()
            spool.append(make_event())
            spool.close()
    assert await stored(database, 0) == names(1)


async def test_the_end_is_its_servers_word_and_no_signals(
    url: str, database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    async with writing(url, folder):
        (pid,) = await eventually(lambda: at_work(folder))
        os.kill(pid, signal.SIGTERM)
        spool.append(make_event())
        spool.hand_over()
        await stored(database, 1)
        assert at_work(folder) == {pid}
