"""Files, stores and what is found in them, in PostgreSQL with pgvector: for several replicas of Weir.

The non-obvious decision: searches have connections of their own. Each statement there is its own transaction, and
the planner may not read whole tables, since all a search asks is in an index: on a table that was filled a moment
ago it would do so from ignorance. What is written goes through connections as the server sets them up.

What is in the way of a transaction becomes RetrievalUnavailable, in bounded time; the next one tries again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import URL, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from contracts.errors import RetrievalUnavailable
from contracts.retrieval import Store
from rag.ports import Limits, Prepared, Put, StorageUnusable, Work
from rag.storage import queue, stores
from rag.storage.moments import Clock, now
from rag.storage.postgres_chunks import (
    Tally,
    drop_chunks,
    drop_store,
    put_chunks,
    store_number,
    sweep,
    vectors_by_key,
)
from rag.storage.postgres_schema import has_partitions, is_current, make_partitions, make_tables
from rag.storage.postgres_search import Indexed, PostgresView
from rag.storage.sql import SqlStorage
from rag.storage.tables import documents, staged
from system.database import DatabaseUnusable, Transactions, driver_url

_CONNECT_SECONDS = 5
_SEARCH_SECONDS = 10
_SEARCHES = 8
"""At a time, in each process; others wait."""
_RETRY_SECONDS = 5
_SETTINGS = {
    "plan_cache_mode": "force_custom_plan",  # a plan for any tenant would have all their partitions in it
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "hnsw.ef_search": "120",
    "hnsw.iterative_scan": "relaxed_order",  # goes on where a store or filters left too few
    "hnsw.max_scan_tuples": "40000",
}


class PostgresStorage(SqlStorage):
    """See `rag.ports.Storage`. `url` as users write it; nothing is opened yet.

    Raises StorageUnusable where the URL or its driver is wrong.
    """

    def __init__(self, url: str, limits: Limits | None = None, clock: Clock = now) -> None:
        super().__init__(limits, clock)
        try:
            parsed = driver_url(url, "the documents")
            if parsed.get_backend_name() != "postgresql":
                raise StorageUnusable("`rag.url` has to be a postgresql:// URL. Left out, SQLite is used.")
            self._database = Transactions(parsed)
        except DatabaseUnusable as error:
            raise StorageUnusable(str(error)) from error
        self._searches = _search_engine(parsed)
        self._preparing = asyncio.Lock()
        self._partitions: set[tuple[str, int]] = set()
        self._tallies: WeakKeyDictionary[AsyncConnection, Tally] = WeakKeyDictionary()

    async def prepare(self) -> None:
        """Done by one process at a time, while others wait; cheap once it is done."""
        async with self._preparing:
            async with self._reaching(), self._database.reading() as connection:
                done = await connection.run_sync(is_current)
            if not done:
                async with self._reaching(), self._database.altering() as connection:
                    await make_tables(connection)

    async def close(self) -> None:
        await self._database.close()
        await self._searches.dispose()

    @asynccontextmanager
    async def _reading(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        async with self._reaching(), self._database.reading() as connection:
            yield connection

    @asynccontextmanager
    async def _writing(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        async with self._reaching(), self._database.writing() as connection:
            self._tallies[connection] = tally = Tally()
            yield connection
            await tally.write(connection)

    @asynccontextmanager
    async def _searching(self) -> AsyncIterator[AsyncConnection]:
        async with self._reaching(), self._searches.connect() as connection:
            yield connection

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            yield
        except (SQLAlchemyError, OSError) as cause:
            self._partitions.clear()  # what answers next may be another database
            raise RetrievalUnavailable(
                "The database of the documents does not answer right now.", retry_after_s=_RETRY_SECONDS
            ) from cause

    # --- chunks

    async def _put_chunks(
        self,
        connection: AsyncConnection,
        tenant: str,
        store_id: str,
        file_id: str,
        revision: int,
        prepared: Prepared,
    ) -> int:
        store = await store_number(connection, tenant, store_id)
        return await put_chunks(connection, tenant, store, prepared, self._tallies[connection])

    async def _drop_chunks(
        self, connection: AsyncConnection, tenant: str, store_id: str, file_ids: Sequence[str]
    ) -> None:
        of_documents = select(documents.c.first_chunk, documents.c.chunks).where(
            documents.c.tenant == tenant,
            documents.c.store_id == store_id,
            documents.c.file_id.in_(file_ids),
            documents.c.chunks > 0,
        )
        ranges = [(row.first_chunk, row.chunks) for row in await connection.execute(of_documents)]
        if ranges:
            store = await store_number(connection, tenant, store_id)
            await drop_chunks(connection, tenant, store, ranges, self._tallies[connection])

    async def _drop_store(self, connection: AsyncConnection, tenant: str, store_id: str) -> None:
        await drop_store(connection, tenant, store_id)

    async def _vectors_of(
        self, connection: AsyncConnection, tenant: str, keys: Sequence[bytes]
    ) -> Mapping[bytes, bytes]:
        return await vectors_by_key(connection, tenant, keys)

    async def stage(self, tenant: str, vectors: Mapping[bytes, bytes]) -> None:
        at = self._now()
        rows = [{"tenant": tenant, "key": key, "vector": vector, "at": at} for key, vector in vectors.items()]
        if rows:
            async with self._writing(tenant) as connection:
                await connection.execute(insert(staged).on_conflict_do_nothing(), rows)

    # --- the queue

    async def claim(self, lease_s: float, holder: str = "") -> Work | None:
        async with self._writing("") as connection:
            return await queue.claim(connection, self._now(), lease_s, holder)

    async def give_back(self, holder: str) -> int:
        async with self._writing("") as connection:
            return await queue.give_back(connection, holder)

    async def renew(self, work: Work, lease_s: float) -> bool:
        """Does not wait for the step that is completing it, which nobody else can claim meanwhile."""
        wanted = select(documents.c.file_id).where(*queue.claimed(work))
        async with self._writing(work.tenant) as connection:
            if (await connection.execute(wanted)).first() is None:
                return False
            if (await connection.execute(wanted.with_for_update(skip_locked=True))).first() is not None:
                await queue.renew(connection, work, self._now(), lease_s)
        return True

    async def complete(self, work: Work, prepared: Prepared) -> bool:
        await self._make_partitions(work.tenant, [prepared])
        return await super().complete(work, prepared)

    async def upkeep(self) -> None:
        async with self._reading("") as connection:
            tenants = (await connection.execute(_TENANTS)).scalars().all()
        for tenant in tenants:
            await self._upkeep(tenant)
        more = True
        while more:
            async with self._writing("") as connection:
                more = await sweep(connection)

    # --- steps

    async def change(
        self, tenant: str, store_id: str, puts: Sequence[Put], gone: Sequence[str], *, at: int | None = None
    ) -> Store:
        await self._make_partitions(tenant, [put.prepared for put in puts])
        return await super().change(tenant, store_id, puts, gone, at=at)

    async def _make_partitions(self, tenant: str, prepared: Sequence[Prepared]) -> None:
        """Before the step: an index that is made waits for all steps, so for that too which would wait for it."""
        needed = {(tenant, one.vectors.shape[1]) for one in prepared if one.chunks}
        for _, dimensions in needed.difference(self._partitions):
            async with self._reading(tenant) as connection:
                there = await has_partitions(connection, tenant, dimensions)
            if not there:
                async with self._reaching(), self._database.altering() as connection:
                    await make_partitions(connection, tenant, dimensions)
            self._partitions.add((tenant, dimensions))

    # --- search

    async def view(self, tenant: str, store: str) -> PostgresView:
        values = {"tenant": tenant, "store": store, "now": self._now()}
        async with self._searching() as connection:
            row = (await connection.execute(_VIEWED, values)).first()
        if row is None:
            raise stores.not_found(store)
        indexed = Indexed(
            tenant=tenant,
            number=row.number or 0,
            chunks=row.chunks or 0,
            words=row.words or 0,
            tenant_chunks=int(row.tenant_chunks or 0),
            encoder=row.encoder or "",
            state=stores.state_of(row),
        )
        return PostgresView(self._searching, indexed, self._now)


_TENANTS = text("""
    SELECT tenant FROM rag_files UNION SELECT tenant FROM rag_stores UNION SELECT tenant FROM rag_staged""")
# By id before by name; the oldest of those that have the name.
_VIEWED = text("""
    SELECT s.id, s.revision, s.version, i.number, i.chunks, i.words,
        (SELECT sum(chunks) FROM rag_indexes WHERE tenant = :tenant) AS tenant_chunks,
        (SELECT encoder FROM rag_documents AS d
            WHERE d.tenant = :tenant AND d.store_id = s.id AND d.revision <> 0 AND d.chunks > 0
            ORDER BY d.revision DESC LIMIT 1) AS encoder
    FROM rag_stores AS s LEFT JOIN rag_indexes AS i ON i.tenant = s.tenant AND i.store_id = s.id
    WHERE s.tenant = :tenant AND :store IN (s.id, s.name) AND (s.expires IS NULL OR s.expires > :now)
    ORDER BY s.id = :store DESC, s.created, s.id LIMIT 1""")


def _search_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url,
        pool_size=_SEARCHES,
        max_overflow=0,
        pool_timeout=_SEARCH_SECONDS,
        pool_pre_ping=True,
        isolation_level="AUTOCOMMIT",
        json_deserializer=orjson.loads,
        connect_args={
            "timeout": _CONNECT_SECONDS,
            "command_timeout": _SEARCH_SECONDS,
            "server_settings": _SETTINGS,
        },
    )
