"""One schema on two engines: migrated once, never downgraded, money exact to the last digit."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Connection, Integer, MetaData, Table, func, inspect, select, text
from sqlalchemy.exc import StatementError

import ledger
from contracts.money import QUANTUM
from ledger.database import Database, DatabaseUnusable, driver_url, sqlite_url
from ledger.tables import SCHEMA_VERSION, Instant, Money, metadata, usage_events

amounts = Table(
    "amounts", MetaData(), Column("id", Integer, primary_key=True), Column("amount", Money), Column("at", Instant)
)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("postgres://u:p@h:1/d", "postgresql+asyncpg://u:p@h:1/d"),
        ("postgresql://u:p@h/d?sslmode=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgresql+psycopg2://h/d", "postgresql+asyncpg://h/d"),
        ("sqlite:///weir.db", "sqlite+aiosqlite:///weir.db"),
        ("sqlite+aiosqlite:////tmp/weir.db", "sqlite+aiosqlite:////tmp/weir.db"),
    ],
)
def test_urls_as_people_write_them(written: str, meant: str) -> None:
    assert driver_url(written).render_as_string(hide_password=False) == meant


@pytest.mark.parametrize(
    ("url", "advice"), [("mysql://h/d", "'mysql'"), ("not a url", "Write it like postgresql://")]
)
def test_other_urls_are_refused_with_advice(url: str, advice: str) -> None:
    with pytest.raises(DatabaseUnusable, match=advice):
        Database(url)


def test_the_password_is_not_in_the_name() -> None:
    assert Database("postgres://me:secret@h/d").name == "postgresql+asyncpg://me:***@h/d"


def test_the_schema_version_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(ledger.__file__).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA_VERSION]


async def test_the_migrations_make_exactly_the_tables(database: Database) -> None:
    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


async def test_preparing_twice_and_again_later_changes_nothing(url: str) -> None:
    for _ in range(2):
        database = Database(url)
        await asyncio.gather(database.prepare(), database.prepare())
        await database.close()


async def test_the_state_folder_is_made(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "not" / "yet"))
    await database.prepare()
    await database.close()
    assert (tmp_path / "not" / "yet" / "weir.db").exists()


def prepare_in_a_process(url: str, together: Any, done: Any) -> None:
    async def prepare() -> str:
        database = Database(url)
        try:
            await database.prepare()
            async with database.reading() as connection:
                return str((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())
        finally:
            await database.close()

    together.wait()
    try:
        done.put(asyncio.run(prepare()))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
        done.put(repr(error))


async def test_processes_that_start_together_migrate_once(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    together, done = spawn.Barrier(4), spawn.Queue()
    processes = [spawn.Process(target=prepare_in_a_process, args=(url, together, done)) for _ in range(4)]
    for process in processes:
        process.start()
    found = [await asyncio.to_thread(done.get, True, 60) for _ in processes]
    for process in processes:
        process.join()
    assert found == [SCHEMA_VERSION] * 4


async def test_a_new_file_that_another_process_is_setting_up_is_waited_for(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "weir.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        database = Database(sqlite_url(tmp_path))
        preparing = asyncio.create_task(database.prepare())
        await asyncio.wait([preparing], timeout=0.2)
        assert not preparing.done()
        other.execute("COMMIT")
        await preparing
    await database.close()


async def test_a_database_of_a_newer_weir_is_refused_with_advice(url: str, database: Database) -> None:
    async with database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    later = Database(url)
    with pytest.raises(DatabaseUnusable, match=r"0999.*newer Weir.*Install that version"):
        await later.prepare()
    await later.close()


async def test_an_unreachable_server_is_an_error_now_and_no_obstacle_later(tmp_path: Path) -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/weir")
    for _ in range(2):
        with pytest.raises(OSError, match="Connect"):
            await database.prepare()
    await database.close()


async def test_a_failed_migration_leaves_nothing_half_made(url: str) -> None:
    """The second table cannot be made, so the first must not stay either."""
    database = Database(url)
    async with database.writing() as connection:
        await connection.execute(text("CREATE TABLE keys (id INTEGER)"))
    with pytest.raises(Exception, match="keys"):
        await database.prepare()
    async with database.reading() as connection:
        names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    assert set(names) == {"keys"}
    await database.close()


async def test_a_reader_sees_one_moment(database: Database) -> None:
    async with database.writing() as connection:
        await connection.run_sync(amounts.metadata.create_all)
    async with database.reading() as reader:
        assert (await reader.execute(select(func.count()).select_from(amounts))).scalar() == 0
        async with database.writing() as writer:
            await writer.execute(amounts.insert().values(amount=Decimal(1)))
        assert (await reader.execute(select(func.count()).select_from(amounts))).scalar() == 0
    async with database.reading() as reader:
        assert (await reader.execute(select(func.count()).select_from(amounts))).scalar() == 1


async def test_sqlite_keeps_commits_through_a_power_cut(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path))
    await database.prepare()
    async with database.reading() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar() == "wal"
        assert (await connection.execute(text("PRAGMA synchronous"))).scalar() == 2, "FULL"
    await database.close()


async def test_the_folder_that_it_makes_is_its_owners_alone(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "state"))
    await database.prepare()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    await database.close()


money = st.decimals(min_value=-400_000, max_value=400_000, places=12)  # 20 of them fit into SQLite


@given(written=st.lists(money, min_size=1, max_size=20))
@example(written=[Decimal("399999.999999999999"), Decimal("-0.000000000001")])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_money_comes_back_and_adds_up_to_the_last_digit(database: Database, written: list[Decimal]) -> None:
    async with database.writing() as connection:
        await connection.run_sync(amounts.metadata.drop_all)
        await connection.run_sync(amounts.metadata.create_all)
        await connection.execute(amounts.insert(), [{"amount": amount} for amount in written])
        read = (await connection.execute(select(amounts.c.amount).order_by(amounts.c.id))).scalars().all()
        total, most = (
            await connection.execute(select(func.sum(amounts.c.amount), func.max(amounts.c.amount)))
        ).one()
        above = select(func.count()).where(amounts.c.amount > written[0])
        larger = (await connection.execute(above)).scalar_one()
    assert list(read) == written
    assert all(isinstance(amount, Decimal) for amount in (*read, total, most))
    assert (total, most) == (sum(written), max(written))
    assert larger == sum(amount > written[0] for amount in written)


async def test_money_is_rounded_once_and_absent_money_stays_absent(database: Database) -> None:
    async with database.writing() as connection:
        await connection.run_sync(amounts.metadata.create_all)
        await connection.execute(amounts.insert(), [{"amount": QUANTUM / 2}, {"amount": QUANTUM * Decimal("1.6")}])
        read = (await connection.execute(select(amounts.c.amount).order_by(amounts.c.id))).scalars().all()
        nothing = (await connection.execute(select(func.sum(amounts.c.amount)).where(amounts.c.id < 0))).scalar()
    assert list(read) == [0, QUANTUM * 2]
    assert nothing is None


async def test_what_is_no_money_and_no_moment_is_refused(database: Database) -> None:
    for row in ({"amount": Decimal("NaN")}, {"at": datetime(2026, 1, 1)}):
        with pytest.raises(StatementError):
            async with database.writing() as connection:
                await connection.run_sync(amounts.metadata.create_all)
                await connection.execute(amounts.insert(), [row])


async def test_moments_are_utc_exact_and_in_order(database: Database) -> None:
    start = datetime(2026, 3, 29, 0, 59, 59, 999999, tzinfo=UTC)
    moments = [start + timedelta(microseconds=step) for step in (0, 1, 1_000_000)]
    async with database.writing() as connection:
        await connection.run_sync(amounts.metadata.create_all)
        await connection.execute(amounts.insert(), [{"at": moment} for moment in reversed(moments)])
        read = (await connection.execute(select(amounts.c.at).order_by(amounts.c.at))).scalars().all()
        later = select(func.count()).where(amounts.c.at > moments[0])
        assert (await connection.execute(later)).scalar() == 2
    assert list(read) == moments
    assert all(moment.utcoffset() == timedelta(0) for moment in read)


def test_every_column_of_an_event_is_needed_unless_it_may_be_absent() -> None:
    optional = {column.name for column in usage_events.columns if column.nullable}
    assert optional == {"usage_raw", "decision", "first_token_ms", "retrieval"}
