"""The database of events and keys: SQLite in the state folder, or PostgreSQL by URL. Same tables, same answers.

`prepare` brings the schema up to date and may be called by anyone who is about to use the database: it does its
work once, also when several processes start together, and is simply called again while the server is down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import orjson
from sqlalchemy import URL, Connection, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from ledger.tables import SCHEMA_VERSION, metadata

_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 30
_PAUSE_SECONDS = 0.02
_MIGRATION_LOCK = 0x57656972  # "Weir": PostgreSQL's advisory locks are numbers
_BEGIN = "weir_begin"


class DatabaseUnusable(Exception):
    """The database cannot be used as configured; the message says what to do. Waiting does not help."""


class Database:
    """`url` as users write it: postgres://, postgresql:// or sqlite+aiosqlite:///FILE. Nothing is opened yet.

    Raises DatabaseUnusable where the URL or its driver is wrong.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._url = driver_url(url)
        self._engine = _engine(self._url)
        self._preparing = asyncio.Lock()
        self._prepared = False

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._url.get_backend_name()

    async def prepare(self) -> None:
        """Bring the schema up to date. Cheap once done.

        Raises DatabaseUnusable where the schema is newer than this Weir or a part of it is missing, and whatever
        the driver raises while the server cannot be reached.
        """
        async with self._preparing:
            if self._prepared:
                return
            if self.dialect == "sqlite" and self._url.database:
                Path(self._url.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            until = monotonic() + _STATEMENT_SECONDS
            while not self._prepared:
                try:
                    await self._bring_up_to_date()
                except OperationalError as error:
                    # While another process switches a new file to WAL, SQLite refuses at once instead of waiting.
                    if "database is locked" not in str(error.orig) or monotonic() > until:
                        raise
                    await asyncio.sleep(_PAUSE_SECONDS)
                else:
                    self._prepared = True

    def doubt(self) -> None:
        """Have `prepare` look again. After a fault it may be another database: an empty one, or a newer Weir's."""
        self._prepared = False

    async def _bring_up_to_date(self) -> None:
        """One process migrates, the others wait at the door. Where nothing is to be done, no patience is needed."""
        async with self.reading() as connection:
            if await connection.run_sync(_is_current):
                return
        async with self.altering() as connection:
            await connection.run_sync(_migrate)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection all of whose queries see the database as it was at the first of them."""
        engine = self._engine
        if self.dialect == "postgresql":
            engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        async with engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back when anything is raised inside.

        On SQLite it is the only one of its kind from the beginning, so what it reads is still so when it writes.
        """
        engine = self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        async with engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def altering(self) -> AsyncIterator[AsyncConnection]:
        """The same, for changes of the schema: tables and partitions. They may take as long as they need."""
        patient = _engine(self._url, patient=True)
        engine = patient.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        try:
            async with engine.begin() as connection:
                yield connection
        finally:
            await patient.dispose()

    async def close(self) -> None:
        await self._engine.dispose()


def sqlite_url(state: Path) -> str:
    """The embedded database in the folder `state`."""
    return URL.create("sqlite+aiosqlite", database=str(state / "weir.db")).render_as_string()


def driver_url(url: str) -> URL:
    """`url` with the driver that Weir uses. libpq's `sslmode` becomes asyncpg's `ssl`."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUnusable(
            "The ledger's database URL cannot be read. Write it like postgresql://user:password@host:5432/name."
        ) from error
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if kind not in ("postgres", "postgresql"):
        raise DatabaseUnusable(f"The ledger cannot be in '{kind}'. Use a postgresql:// URL, or leave `url` out.")
    query = dict(parsed.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _engine(url: URL, *, patient: bool = False) -> AsyncEngine:
    """`patient`: no statement is given up because it takes long."""
    options: dict[str, Any] = {"json_serializer": _dumps, "json_deserializer": orjson.loads}
    if url.get_backend_name() == "sqlite":
        engine = create_async_engine(url, connect_args={"timeout": _STATEMENT_SECONDS}, **options)
        event.listen(engine.sync_engine, "connect", _open_sqlite)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_async_engine(
            url,
            pool_size=4,
            pool_pre_ping=True,
            connect_args={
                "timeout": _CONNECT_SECONDS,
                "command_timeout": None if patient else _STATEMENT_SECONDS,
            },
            **options,
        )
    except ModuleNotFoundError as error:
        raise DatabaseUnusable("PostgreSQL needs the asyncpg driver: pip install 'weir[postgres]'.") from error


def _dumps(value: object) -> str:
    return orjson.dumps(value).decode()


def _open_sqlite(connection: Any, _record: object) -> None:
    """WAL, so that reports can read while the server writes. FULL, because segments are deleted after a commit."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode")
    if cursor.fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Left to itself, the driver begins a transaction at the first write, so that reads would see many moments."""
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    if _is_current(connection):
        return
    version = _version(connection)
    if version is not None and version > SCHEMA_VERSION:
        raise DatabaseUnusable(
            f"The database {connection.engine.url.render_as_string(hide_password=True)} is at schema {version}, "
            f"but this Weir knows {SCHEMA_VERSION} at most: it was used by a newer Weir. "
            "Install that version again, or restore a backup from before the upgrade."
        )
    # Late: it takes a fifth of a second and is needed once in the life of a database.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    _check_whole(connection)


def _is_current(connection: Connection) -> bool:
    """Raises DatabaseUnusable where it says so, and a part is missing."""
    if _version(connection) != SCHEMA_VERSION:
        return False
    _check_whole(connection)
    return True


def _check_whole(connection: Connection) -> None:
    """That nothing is missing which the version promises: better found now than by the first event."""
    found = inspect(connection).get_multi_columns(filter_names=list(metadata.tables))
    columns = {name: {column["name"] for column in found_columns} for (_, name), found_columns in found.items()}
    for table in metadata.sorted_tables:
        if table.name not in columns:
            missing = f"the table '{table.name}'"
        elif lacking := [column.name for column in table.columns if column.name not in columns[table.name]]:
            missing = f"the column '{lacking[0]}' of the table '{table.name}'"
        else:
            continue
        raise DatabaseUnusable(
            f"The database {connection.engine.url.render_as_string(hide_password=True)} says it is at schema "
            f"{SCHEMA_VERSION}, but {missing} is missing: it was restored in part, or changed by hand. "
            "Restore a whole backup, or name another database in `ledger.url`."
        )


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
