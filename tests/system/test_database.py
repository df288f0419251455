"""What both rooms with a database share."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from system.database import DatabaseUnusable, Transactions, driver_url, once_unlocked, sqlite_file


@pytest.mark.parametrize(
    ("url", "advice"), [("mysql://h/d", "The library cannot be in"), ("?", "The database URL of the library")]
)
def test_advice_names_whose_database_it_is(url: str, advice: str) -> None:
    with pytest.raises(DatabaseUnusable, match=advice):
        driver_url(url, "the library")


async def test_what_is_raised_inside_undoes_what_was_written(tmp_path: Path) -> None:
    transactions = Transactions(sqlite_file(str(tmp_path / "a.db")))
    async with transactions.writing() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))
    with pytest.raises(ZeroDivisionError):
        async with transactions.writing() as connection:
            await connection.execute(text("INSERT INTO t VALUES (1)"))
            raise ZeroDivisionError
    async with transactions.reading() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM t"))).scalar_one() == 0
    await transactions.close()


async def test_a_reader_sees_one_moment_while_another_writes(tmp_path: Path) -> None:
    transactions = Transactions(sqlite_file(str(tmp_path / "a.db")))
    async with transactions.writing() as connection:
        await connection.execute(text("CREATE TABLE t (n INTEGER)"))
    counting = text("SELECT count(*) FROM t")
    async with transactions.reading() as reader:
        assert (await reader.execute(counting)).scalar_one() == 0
        async with transactions.writing() as writer:
            await writer.execute(text("INSERT INTO t VALUES (1)"))
        assert (await reader.execute(counting)).scalar_one() == 0
    async with transactions.reading() as reader:
        assert (await reader.execute(counting)).scalar_one() == 1
    await transactions.close()


async def test_a_locked_database_is_tried_again_and_other_faults_are_not() -> None:
    tries = []

    async def locked_twice() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("x", {}, Exception("database is locked"))

    await once_unlocked(locked_twice)
    assert len(tries) == 3

    async def broken() -> None:
        tries.append(1)
        raise OperationalError("x", {}, Exception("disk full"))

    with pytest.raises(OperationalError):
        await once_unlocked(broken)
    assert len(tries) == 4


async def test_a_writer_waits_for_another_at_its_beginning(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        transactions = Transactions(sqlite_file(str(tmp_path / "a.db")))
        begun = asyncio.Event()

        async def write() -> None:
            async with transactions.writing():
                begun.set()

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.05)
        assert not begun.is_set()
        other.execute("COMMIT")
        await writing
        await transactions.close()
