"""From the spool to the database: each event exactly once, whatever fails in between."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.records import UsageEvent
from ledger.database import Database, sqlite_url
from ledger.events import find_event, from_row
from ledger.segment import line_of
from ledger.spool import REJECTED, Spool, segments, waiting
from ledger.tables import usage_days, usage_events
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]


async def stored(database: Database) -> list[str]:
    async with database.reading() as connection:
        found = await connection.execute(select(usage_events.c.request_id).order_by(usage_events.c.request_id))
        return list(found.scalars())


def reasons(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / REJECTED).read_bytes().splitlines()]


async def test_what_is_spooled_arrives_and_the_spool_is_empty(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    writer = Writer(spool, database, batch=3)
    events = [make_event(cost=Decimal(number)) for number in range(8)]
    for event in events:
        spool.append(event)
    assert (writer.events_waiting, writer.bytes_waiting > 0, writer.database_up) == (8, True, False)
    await writer.flush()
    async with database.reading() as connection:
        rows = (await connection.execute(select(usage_events))).mappings().all()
    assert sorted((from_row(row) for row in rows), key=lambda event: event.request_id) == events
    assert (writer.events_waiting, writer.bytes_waiting, writer.written, writer.database_up) == (0, 0, 8, True)
    assert list(waiting(folder)) == []
    assert not (folder / REJECTED).exists()


async def test_the_task_flushes_by_itself_and_stopping_flushes_the_rest(
    spool: Spool, database: Database, make_event: MakeEvent
) -> None:
    writer = Writer(spool, database, flush_s=0.01)
    writer.start()
    spool.append(make_event())
    while writer.written < 1:  # noqa: ASYNC110 - there is nothing to wait on
        await asyncio.sleep(0.005)
    spool.append(make_event())
    await writer.stop()
    assert await stored(database) == ["r0", "r1"]


async def test_stopping_without_starting_flushes_too(
    spool: Spool, database: Database, make_event: MakeEvent
) -> None:
    spool.append(make_event())
    await Writer(spool, database).stop()
    assert await stored(database) == ["r0"]


async def test_events_keep_coming_while_others_are_written(
    spool: Spool, database: Database, make_event: MakeEvent
) -> None:
    writer = Writer(spool, database, flush_s=0.001, batch=7)
    writer.start()
    for _ in range(200):
        spool.append(make_event())
        await asyncio.sleep(0)
    await writer.stop()
    assert len(await stored(database)) == 200
    assert writer.written == 200


async def test_an_event_offered_twice_counts_once(spool: Spool, database: Database, make_event: MakeEvent) -> None:
    event = make_event(cost=Decimal(1))
    writer = Writer(spool, database)
    spool.append(event)
    spool.append(event)
    await writer.flush()
    spool.append(make_event(request_id=event.request_id, cost=Decimal(2)))
    await writer.flush()
    found = await find_event(database, event.request_id, None)
    assert found is not None
    assert found.cost == 1, "the first one stays"
    assert (writer.written, writer.rejected) == (2, 1), "another one is set aside"


def crash_while_shipping(url: str, folder: str, moment: str) -> None:
    """A server that is killed once rows are sent (`insert`), committed (`commit`), or with half of them so."""

    class Doomed(Database):
        commits = 0

        @asynccontextmanager
        async def writing(self) -> AsyncIterator[AsyncConnection]:
            async with super().writing() as connection:
                yield connection
                if moment == "insert":
                    os.kill(os.getpid(), signal.SIGKILL)
            self.commits += 1
            if moment == "commit" or self.commits == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    async def run() -> None:
        await Writer(Spool(Path(folder)), Doomed(url), batch=2).flush()

    asyncio.run(run())


@pytest.mark.parametrize("moment", ["insert", "commit", "half"])
async def test_a_crash_between_insert_and_release_neither_loses_nor_doubles(
    url: str, database: Database, folder: Path, make_event: MakeEvent, moment: str
) -> None:
    before = Spool(folder)
    for _ in range(6):
        before.append(make_event())
    before.close()
    process = multiprocessing.get_context("spawn").Process(
        target=crash_while_shipping, args=(url, str(folder), moment)
    )
    process.start()
    await asyncio.to_thread(process.join)
    assert process.exitcode == -signal.SIGKILL
    assert len(await stored(database)) == {"insert": 0, "commit": 2, "half": 4}[moment]
    assert len(list(waiting(folder))) == 6, "the segment is still there"
    heir = Spool(folder)
    writer = Writer(heir, database)
    await writer.flush()
    assert await stored(database) == [f"r{number}" for number in range(6)]
    async with database.reading() as connection:
        sums = (await connection.execute(select(usage_days.c.requests, usage_days.c.cost))).one()
    assert sums == (6, Decimal("0.0006")), "and none is counted twice"
    assert writer.rejected == 0
    assert segments(folder) == segments(folder)[:1], "all but the heir's own are gone"
    heir.close()


async def test_workers_on_one_spool_and_one_database_ship_everything_once(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    spools = [Spool(folder) for _ in range(4)]
    writers = [Writer(spool, database, flush_s=0.001, batch=5) for spool in spools]
    for writer in writers[1:]:
        writer.start()
    for _ in range(30):
        for spool in spools:
            spool.append(make_event())
        await asyncio.sleep(0)
    spools[0].close()  # it dies before it has shipped anything; the others take its events over
    for writer in writers[1:]:
        await writer.stop()
    found = Counter(await stored(database))
    assert len(found) == 120
    assert set(found.values()) == {1}
    for spool in spools:
        spool.close()


async def test_a_database_that_is_down_costs_nothing_but_time(
    spool: Spool, folder: Path, make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    down = Database("postgresql://postgres@127.0.0.1:1/weir")
    writer = Writer(spool, down, flush_s=0.001)
    spool.append(make_event())
    with caplog.at_level(logging.INFO, logger="weir.ledger"):
        for _ in range(4):
            await writer.flush(at_once=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "once per outage"
    assert "wait on disk" in caplog.text
    assert (writer.database_up, writer.events_waiting, writer.written) == (False, 1, 0)
    spool.append(make_event())
    assert spool.ready()
    assert [event.request_id for event in waiting(folder)] == ["r0", "r1"]
    await writer.stop()
    assert writer.events_waiting == 2
    await down.close()


async def rename(database: Database, old: str, new: str) -> None:
    """Make the database one that answers, but takes no events."""
    async with database.writing() as connection:
        await connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))


async def test_an_outage_makes_no_file_at_each_try(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    await rename(database, "usage_events", "elsewhere")
    writer = Writer(spool, database)
    for _ in range(10):
        spool.append(make_event())
        await writer.flush(at_once=True)
    assert len(segments(folder)) == 2, "the backlog and what is being appended to"


async def test_stopping_at_the_end_of_an_outage_flushes_the_backlog_and_the_rest(
    spool: Spool, database: Database, make_event: MakeEvent
) -> None:
    await rename(database, "usage_events", "elsewhere")
    writer = Writer(spool, database)
    for _ in range(2):
        spool.append(make_event())
        await writer.flush(at_once=True)
    await rename(database, "elsewhere", "usage_events")
    await writer.stop()
    assert await stored(database) == ["r0", "r1"]


async def test_pauses_grow_and_are_bounded(spool: Spool, make_event: MakeEvent) -> None:
    down = Database("postgresql://postgres@127.0.0.1:1/weir")
    writer = Writer(spool, down, flush_s=0.5)
    spool.append(make_event())
    pauses = []
    for _ in range(20):
        await writer.flush(at_once=True)
        pauses.append(writer.pause_s)
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == 30
    await down.close()


async def test_after_an_outage_everything_is_caught_up(
    tmp_path: Path, spool: Spool, make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    """The outage: the database's file cannot be opened."""
    place = tmp_path / "state"
    (place / "weir.db").mkdir(parents=True)
    database = Database(sqlite_url(place))
    writer = Writer(spool, database)
    spool.append(make_event())
    with caplog.at_level(logging.INFO, logger="weir.ledger"):
        await writer.flush()
        assert not writer.database_up
        spool.append(make_event())
        (place / "weir.db").rmdir()
        await writer.flush()
        assert writer.written == 0, "not before its pause is over"
        for _ in range(2):
            await writer.flush(at_once=True)
    assert (writer.database_up, writer.written, writer.events_waiting) == (True, 2, 0)
    assert await stored(database) == ["r0", "r1"]
    assert len(caplog.records) == 2, "one line when it goes, one when it is back"
    await database.close()


@pytest.mark.parametrize("url", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)
async def test_a_server_that_forgets_its_connections_is_used_again(
    url: str, spool: Spool, database: Database, make_event: MakeEvent
) -> None:
    writer = Writer(spool, database)
    spool.append(make_event())
    await writer.flush()
    killer = Database(url)
    async with killer.writing() as connection:
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = :n"
        )
        await connection.execute(text(others), {"n": url.rpartition("/")[2]})
    await killer.close()
    spool.append(make_event())
    await writer.flush()
    await writer.flush(at_once=True)
    assert await stored(database) == ["r0", "r1"]


async def test_a_record_the_database_refuses_does_not_stop_the_others(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    poison = make_event(request_id="poison", cost=Decimal(10) ** 13)
    for event in (make_event(), poison, make_event(), make_event()):
        spool.append(event)
    writer = Writer(spool, database)
    await writer.flush()
    assert await stored(database) == ["r1", "r2", "r3"]
    assert (writer.written, writer.rejected, writer.damaged, writer.database_up) == (3, 1, 0, True)
    (note,) = reasons(folder)
    assert orjson.loads(note["line"])["request_id"] == "poison"
    assert note["reason"]
    assert writer.events_waiting == 0


async def test_an_event_with_which_a_sum_would_outgrow_the_database_is_set_aside_and_told(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent, caplog: pytest.LogCaptureFixture
) -> None:
    much = Decimal("5e6") if database.dialect == "sqlite" else Decimal("6e11")
    for cost in (much, much, Decimal("1e-12")):
        spool.append(make_event(cost=cost))
    writer = Writer(spool, database)
    await writer.flush()
    assert await stored(database) == ["r0", "r2"]
    async with database.reading() as connection:
        days = (await connection.execute(select(usage_days.c.cost, usage_days.c.requests))).one()
    assert tuple(days) == (much + Decimal("1e-12"), 2)
    (note,) = reasons(folder)
    assert (orjson.loads(note["line"])["request_id"], writer.rejected) == ("r1", 1)
    assert "1 records were set aside" in caplog.text


@pytest.mark.parametrize("usage", [{"prompt": 2**63}, {"prompt": "many"}])
async def test_so_does_one_that_cannot_be_a_row(
    folder: Path, database: Database, make_event: MakeEvent, usage: dict[str, Any]
) -> None:
    dead = Spool(folder)
    dead.append(make_event())
    dead.append(make_event())
    dead.close()
    (path,) = segments(folder)
    lines = path.read_bytes().splitlines()
    odd = orjson.loads(lines[0][9:]) | {"request_id": "odd", "usage": usage}
    path.write_bytes(lines[0] + b"\n" + line_of(orjson.dumps(odd)) + lines[1] + b"\n")
    heir = Spool(folder)
    writer = Writer(heir, database)
    await writer.flush()
    assert await stored(database) == ["r0", "r1"]
    assert (writer.written, writer.rejected) == (2, 1)
    heir.close()


async def test_damaged_lines_are_kept_aside_and_the_rest_is_shipped(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    dead = Spool(folder)
    for _ in range(4):
        dead.append(make_event())
    dead.close()
    (path,) = segments(folder)
    zero, one, two, three = path.read_bytes().splitlines()
    torn, flipped = zero[:40], one[:-3] + b"?" + one[-2:]
    path.write_bytes(zero + b"\n" + torn + two + b"\n" + flipped + b"\n\n" + three[:-5])
    heir = Spool(folder)
    writer = Writer(heir, database)
    await writer.flush()
    assert await stored(database) == ["r0", "r2"]
    assert (writer.written, writer.damaged, writer.rejected, writer.events_waiting) == (2, 3, 0, 0)
    assert [note["line"] for note in reasons(folder)] == [part.decode() for part in (torn, flipped, three[:-5])]
    heir.close()


async def test_nothing_is_deleted_that_could_not_be_kept_aside(
    folder: Path, database: Database, make_event: MakeEvent
) -> None:
    dead = Spool(folder)
    dead.append(make_event())
    dead.close()
    (path,) = segments(folder)
    path.write_bytes(path.read_bytes() + b"torn")
    (folder / REJECTED).mkdir()
    heir = Spool(folder)
    writer = Writer(heir, database)
    await writer.flush()
    assert path.exists()
    assert not writer.database_up
    (folder / REJECTED).rmdir()
    await writer.flush(at_once=True)
    assert not path.exists()
    assert await stored(database) == ["r0"]
    assert writer.damaged == 1
    heir.close()


async def test_a_table_that_is_missing_is_an_outage_and_no_reason_to_reject(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    await rename(database, "usage_events", "elsewhere")
    writer = Writer(spool, database)
    spool.append(make_event())
    await writer.flush()
    assert (writer.rejected, writer.events_waiting, writer.database_up) == (0, 1, False)
    await rename(database, "elsewhere", "usage_events")
    await writer.flush(at_once=True)
    assert await stored(database) == ["r0"]


async def test_a_database_that_comes_back_empty_is_filled_again(
    spool: Spool, folder: Path, database: Database, make_event: MakeEvent
) -> None:
    writer = Writer(spool, database)
    spool.append(make_event())
    await writer.flush()
    async with database.writing() as connection:
        await connection.run_sync(drop_everything)
    spool.append(make_event())
    await writer.flush()
    assert (writer.rejected, writer.events_waiting, writer.database_up) == (0, 1, False)
    await writer.flush(at_once=True)
    assert await stored(database) == ["r1"]
    assert (writer.rejected, writer.database_up) == (0, True)


def drop_everything(connection: Connection) -> None:
    cascade = "" if connection.dialect.name == "sqlite" else " CASCADE"
    for name in inspect(connection).get_table_names():
        connection.execute(text(f"DROP TABLE IF EXISTS {name}{cascade}"))


async def test_a_long_backlog_is_read_in_batches(folder: Path, database: Database, make_event: MakeEvent) -> None:
    spool = Spool(folder, segment_bytes=40_000)
    for _ in range(500):
        spool.append(make_event(tags={"filler": "x" * 300}))
    writer = Writer(spool, database, batch=64)
    await writer.flush()
    await writer.flush()
    async with database.reading() as connection:
        count, total = (await connection.execute(select(func.count(), func.sum(usage_events.c.cost)))).one()
    assert (count, total) == (500, Decimal("0.05"))
    assert writer.bytes_waiting == 0
    spool.close()
