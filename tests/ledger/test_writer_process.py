"""The server's side: what it hands over arrives, and a writer that dies is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.records import UsageEvent
from ledger.database import Database, sqlite_url
from ledger.spool import Spool, segments, waiting
from tests.ledger.writing import at_work, command_of, eventually, names, stored, variables_of, writing

MakeEvent = Callable[..., UsageEvent]
on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    """The server's."""
    spool = Spool(folder, adopts=False)
    yield spool
    spool.close()


async def test_what_is_handed_over_arrives(
    url: str, database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    async with writing(url, folder) as writer:
        assert writer.report.database_up, "it has not spoken yet, and is believed to be well"
        for number in range(25):
            spool.append(make_event())
            if number % 10 == 0:
                spool.hand_over()
        spool.hand_over()
        assert await stored(database, 25) == names(25)
        await eventually(lambda: writer.report.written == 25)
        report = writer.report
        assert (report.database_up, report.events_waiting, report.rejected) == (True, 0, 0)
        (pid,) = await eventually(lambda: at_work(folder))
    assert not command_of(pid)
    assert not list(waiting(folder))


@on_sqlite
async def test_stopping_ships_the_rest(
    url: str, database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    spool.append(make_event())
    spool.hand_over()
    async with writing(url, folder, flush_s=3600):
        await stored(database, 1)  # its first flush is over, and the next is far away
        spool.append(make_event())
        spool.close()
    assert await stored(database, 0) == names(2)
    assert segments(folder) == []


@on_sqlite
async def test_so_does_stopping_while_it_starts(
    url: str,
    database: Database,
    spool: Spool,
    folder: Path,
    make_event: MakeEvent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spool.append(make_event())
    spool.close()
    async with writing(url, folder):
        await asyncio.sleep(0)
    assert await stored(database, 0) == names(1)
    assert not caplog.records, "it ended by itself"


@on_sqlite
async def test_a_writer_that_is_killed_is_replaced(
    url: str,
    database: Database,
    spool: Spool,
    folder: Path,
    make_event: MakeEvent,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(100):
        spool.append(make_event())
    spool.hand_over()
    async with writing(url, folder):
        await stored(database, 10)
        (killed,) = await eventually(lambda: at_work(folder))
        os.kill(killed, signal.SIGKILL)
        spool.append(make_event())
        spool.hand_over()
        assert await stored(database, 101) == names(101)
        assert await eventually(lambda: at_work(folder)) != {killed}
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "status -9" in caplog.text
    assert not list(waiting(folder))


async def test_while_the_database_is_down_events_wait_on_disk(
    tmp_path: Path, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    """The outage: the database's file cannot be opened."""
    in_the_way = tmp_path / "state/weir.db"
    in_the_way.mkdir(parents=True)
    async with writing(sqlite_url(in_the_way.parent), folder) as writer:
        for _ in range(2):
            spool.append(make_event())
            spool.hand_over()
        await eventually(lambda: (writer.report.database_up, writer.report.events_waiting) == (False, 2))
        assert {event.request_id for event in waiting(folder)} == names(2)
        in_the_way.rmdir()
        await eventually(lambda: (writer.report.database_up, writer.report.written) == (True, 2))
    database = Database(sqlite_url(in_the_way.parent))
    assert await stored(database, 2) == names(2)
    await database.close()


async def test_what_others_can_read_of_it_holds_no_password(folder: Path, spool: Spool) -> None:
    async with writing("postgresql://weir:hunter2@127.0.0.1:9/weir", folder):
        (pid,) = await eventually(lambda: at_work(folder))
        assert b"hunter2" not in command_of(pid) + variables_of(pid)
