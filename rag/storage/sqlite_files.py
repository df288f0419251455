"""The databases of all tenants in a folder: opened when needed, the last few kept open, looked at for news.

The non-obvious decision: whether a database may hold new work is told by the times and sizes of its two files. Only
times that are older than a second count as the same: a file system's clock has ticks, and what is written twice
within one looks written once.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time_ns

from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import RetrievalUnavailable
from rag.ports import StorageUnusable
from rag.storage.checks import checked_tenant
from rag.storage.tables import SCHEMA_VERSION, embedded, metadata, schema
from system.database import Transactions, once_unlocked, sqlite_file

NOTHING = ".nothing"
"""The empty database: no tenant's name begins with a dot."""
DATABASE = "corpus.db"
_MOST_OPEN = 64
_SETTLED_NS = 1_000_000_000
_RETRY_S = 1.0

Stamp = tuple[tuple[int, int], ...]


class TenantDatabases:
    """In `folder`, a folder for each tenant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: OrderedDict[str, _Database] = OrderedDict()
        self._idle: dict[str, tuple[Stamp, int | None]] = {}
        self._seen: dict[str, Stamp] = {}

    async def prepare(self) -> None:
        """Raises OSError, and StorageUnusable where a newer Weir has been here."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._database(NOTHING).prepare()

    @asynccontextmanager
    async def reading(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        there = (self.folder / checked_tenant(tenant) / DATABASE).exists()
        async with self._used(tenant if there else NOTHING) as database, database.transactions.reading() as one:
            yield one

    @asynccontextmanager
    async def writing(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        checked_tenant(tenant)
        async with self._used(tenant) as database, database.transactions.writing() as one:
            yield one

    def tenants(self) -> list[str]:
        """Who has a database."""
        if not self.folder.exists():
            return []
        return sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{DATABASE}"))

    def with_news(self, now: int) -> list[str]:
        """Those whose database has changed since it was found idle, or where a claim has lapsed by now."""
        found = []
        for tenant in self.tenants():
            stamp = self._stamp(tenant)
            self._seen[tenant] = stamp
            idle = self._idle.get(tenant)
            if idle is None or idle[0] != stamp or (idle[1] is not None and idle[1] <= now):
                found.append(tenant)
        return found

    def found_idle(self, tenant: str, lapse: int | None) -> None:
        """As it was when `with_news` looked, nothing waits; a claim lapses at `lapse`."""
        stamp = self._seen[tenant]
        if all(time < time_ns() - _SETTLED_NS for time, _ in stamp):
            self._idle[tenant] = (stamp, lapse)

    async def close(self) -> None:
        for database in self._open.values():
            await database.transactions.close()
        self._open.clear()

    @asynccontextmanager
    async def _used(self, tenant: str) -> AsyncIterator[_Database]:
        """Prepared, and not closed meanwhile. Faults of SQLite become RetrievalUnavailable."""
        database = self._database(tenant)
        self._open.move_to_end(tenant)
        database.users += 1
        try:
            await database.prepare()
            yield database
        except (DBAPIError, OSError) as error:
            raise RetrievalUnavailable(
                "The documents cannot be read or written right now.", retry_after_s=_RETRY_S
            ) from error
        except StorageUnusable as error:
            raise RetrievalUnavailable(str(error)) from error
        finally:
            database.users -= 1
            await self._close_some()

    async def _close_some(self) -> None:
        unused = [tenant for tenant, database in self._open.items() if not database.users]
        for tenant in unused[: max(0, len(self._open) - _MOST_OPEN)]:
            await self._open.pop(tenant).transactions.close()

    def _database(self, tenant: str) -> _Database:
        if tenant not in self._open:
            self._open[tenant] = _Database(self.folder / tenant / DATABASE)
        return self._open[tenant]

    def _stamp(self, tenant: str) -> Stamp:
        stamp = []
        for name in (DATABASE, DATABASE + "-wal"):
            try:
                status = (self.folder / tenant / name).stat()
                stamp.append((status.st_mtime_ns, status.st_size))
            except FileNotFoundError:
                stamp.append((0, 0))
        return tuple(stamp)


class _Database:
    def __init__(self, path: Path) -> None:
        self.users = 0
        self.transactions = Transactions(sqlite_file(str(path)))
        self._path = path
        self._preparing = asyncio.Lock()
        self._file: int | None = None

    async def prepare(self) -> None:
        """Cheap once done. A file that was deleted or put there anew meanwhile is opened anew: connections to the
        old one would write where nobody looks."""
        async with self._preparing:
            if self._file is None or self._file != self._number():
                await self.transactions.close()
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                await once_unlocked(self._bring_up_to_date)
                self._file = self._number()

    def _number(self) -> int | None:
        """Of the file on its disk."""
        try:
            return self._path.stat().st_ino
        except FileNotFoundError:
            return None

    async def _bring_up_to_date(self) -> None:
        """Looks first: whoever only starts should not wait for the step of a large folder to end."""
        async with self.transactions.reading() as connection:
            if self._is_current(await connection.run_sync(_version)):
                return
        async with self.transactions.writing() as connection:
            if not self._is_current(await connection.run_sync(_version)):
                await connection.run_sync(metadata.create_all)
                await connection.run_sync(embedded.create_all)
                await connection.execute(schema.insert(), {"version": SCHEMA_VERSION})

    def _is_current(self, version: int | None) -> bool:
        """Raises StorageUnusable for a schema that this Weir does not know."""
        if version is not None and version > SCHEMA_VERSION:
            raise StorageUnusable(
                f"The documents in {self._path} were written by a newer Weir (schema {version}, this one knows "
                f"{SCHEMA_VERSION}). Install that version again, or restore a backup from before the upgrade."
            )
        return version == SCHEMA_VERSION


def _version(connection: Connection) -> int | None:
    if not inspect(connection).has_table(schema.name):
        return None
    version: int | None = connection.execute(select(schema.c.version)).scalar()
    return version
