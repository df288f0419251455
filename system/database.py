"""A database by its URL, SQLite or PostgreSQL: the driver, the engine, and transactions that mean the same on both.

The non-obvious decision: on SQLite a transaction that writes takes the one lock for writing at its beginning, not
at its first write. So what it reads is still so when it writes, and nobody is told "locked" half way through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import orjson
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

_CONNECT_SECONDS = 5
_STATEMENT_SECONDS = 30
_PAUSE_SECONDS = 0.02
_BEGIN = "weir_begin"


class DatabaseUnusable(Exception):
    """The database cannot be used as configured; the message says what to do. Waiting does not help."""


class Transactions:
    """Nothing is opened before the first transaction. Raises DatabaseUnusable where the driver is missing."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._engine = _engine(url)

    @property
    def name(self) -> str:
        """The URL without its password."""
        return self._url.render_as_string(hide_password=True)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._url.get_backend_name()

    @property
    def file(self) -> str | None:
        """Where SQLite keeps it."""
        return self._url.database if self.dialect == "sqlite" else None

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


async def once_unlocked(action: Callable[[], Awaitable[None]]) -> None:
    """Does `action`, again and again while SQLite refuses it. While another process switches a new file to WAL,
    it does so at once instead of waiting."""
    until = monotonic() + _STATEMENT_SECONDS
    while True:
        try:
            return await action()
        except OperationalError as error:
            if "database is locked" not in str(error.orig) or monotonic() > until:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


def sqlite_file(path: str) -> URL:
    """The database in a file."""
    return URL.create("sqlite+aiosqlite", database=path)


def driver_url(url: str, owner: str) -> URL:
    """`url` as users write it, with the driver that Weir uses. libpq's `sslmode` becomes asyncpg's `ssl`.

    Raises DatabaseUnusable, which says whose database it is: `owner`, such as "the ledger".
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUnusable(
            f"The database URL of {owner} cannot be read. Write it like postgresql://user:password@host:5432/name."
        ) from error
    kind = parsed.drivername.partition("+")[0]
    if kind == "sqlite":
        return parsed.set(drivername="sqlite+aiosqlite")
    if kind not in ("postgres", "postgresql"):
        raise DatabaseUnusable(
            f"{owner.capitalize()} cannot be in '{kind}'. Use a postgresql:// URL, or leave `url` out."
        )
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
    """WAL, so that others can read while one writes. FULL, because what is committed may be deleted elsewhere."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode")
    if cursor.fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Left to itself, the driver begins a transaction at the first write, so that reads would see many moments."""
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))
