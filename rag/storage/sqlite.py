"""Files and stores in SQLite, one database for each tenant, searched in memory.

The non-obvious decision: a tenant's database is a folder of its own, so another tenant's cannot be read by mistake,
and deleting a tenant is deleting a folder. A tenant who has nothing yet reads from an empty database that all of
them share, and gets a folder with the first thing that is written. What waits to be ingested is looked for in
databases whose files have changed since they were last found without work: an idle Weir with a thousand tenants
asks the file system, not SQLite.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, KeysView, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFound, RetrievalUnavailable
from contracts.retrieval import Passage, StoreState
from rag.filters import checked
from rag.index.memory import Changes, Load
from rag.index.shelf import Key, Shelf
from rag.index.snapshot import Snapshot
from rag.ports import Limits, Prepared, Ranked, StorageUnusable, WordCounts, Work
from rag.storage import queue, sqlite_chunks, stores
from rag.storage.moments import Clock, now
from rag.storage.sql import SqlStorage
from rag.storage.sqlite_files import DATABASE, TenantDatabases
from rag.storage.sqlite_reads import QuickReads

if TYPE_CHECKING:
    from rag.ports import Vectors

_INDEX_BYTES = 2 * 1024**3
_LOG = logging.getLogger("weir.rag")
_MINUTE = 60_000_000
_MOST_TOUCHED = 10_000
_SMALL = 2000
"""Chunks that are searched faster than a thread is woken."""


class SqliteStorage(SqlStorage):
    """See `rag.ports.Storage`. `index_bytes` bounds what is kept in memory of all stores together."""

    def __init__(
        self,
        folder: Path,
        limits: Limits | None = None,
        *,
        clock: Clock = now,
        index_bytes: int = _INDEX_BYTES,
    ) -> None:
        super().__init__(limits, clock)
        self._touched: dict[Key, int] = {}
        self._touching: set[asyncio.Task[None]] = set()
        self._broken: set[str] = set()
        self.folder = folder
        self._databases = TenantDatabases(folder)
        self.shelf = Shelf(index_bytes, self._loading)
        self._reads = QuickReads(folder, DATABASE, replaced=self.shelf.drop_all_of)

    async def prepare(self) -> None:
        try:
            await self._databases.prepare()
        except (OSError, DBAPIError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.orig
            raise StorageUnusable(
                f"The folder {self.folder} for documents cannot be used: {reason}. Make it "
                "writable for this user, or name another state folder."
            ) from error

    async def close(self) -> None:
        await asyncio.gather(*self._touching, return_exceptions=True)
        await self.shelf.close()
        await self._databases.close()
        self._reads.close()

    # --- transactions

    @asynccontextmanager
    async def _reading(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        async with self._databases.reading(tenant) as connection:
            yield connection

    @asynccontextmanager
    async def _writing(self, tenant: str) -> AsyncIterator[AsyncConnection]:
        async with self._databases.writing(tenant) as connection:
            yield connection

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
        return await sqlite_chunks.put(connection, tenant, store_id, file_id, prepared)

    async def _drop_chunks(
        self, connection: AsyncConnection, tenant: str, store_id: str, file_ids: Sequence[str]
    ) -> None:
        await sqlite_chunks.drop(connection, tenant, store_id, file_ids)

    async def _drop_store(self, connection: AsyncConnection, tenant: str, store_id: str) -> None:
        await sqlite_chunks.drop_store(connection, tenant, store_id)
        self.shelf.drop((tenant, store_id))

    async def _vectors_of(
        self, connection: AsyncConnection, tenant: str, keys: Sequence[bytes]
    ) -> Mapping[bytes, bytes]:
        return await sqlite_chunks.vectors_of(connection, tenant, keys)

    # --- over all tenants

    async def claim(self, lease_s: float, holder: str = "") -> Work | None:
        at = self._now()
        waiting = []
        for tenant in self._databases.with_news(at):
            with self._beside_others(tenant):
                async with self._databases.reading(tenant) as connection:
                    since = await queue.waiting_since(connection, at)
                    lapse = await queue.next_lapse(connection) if since is None else None
                if since is None:
                    self._databases.found_idle(tenant, lapse)
                else:
                    waiting.append((since, tenant))
        for _, tenant in sorted(waiting):
            work = None
            with self._beside_others(tenant):
                async with self._writing(tenant) as connection:
                    work = await queue.claim(connection, self._now(), lease_s, holder)
            if work is not None:
                return work
        return None

    async def give_back(self, holder: str) -> int:
        count = 0
        for tenant in await asyncio.to_thread(self._databases.tenants):
            with self._beside_others(tenant):
                async with self._reading(tenant) as connection:
                    has_some = await queue.has_claims(connection, holder)
                if has_some:
                    async with self._writing(tenant) as connection:
                        count += await queue.give_back(connection, holder)
        return count

    async def upkeep(self) -> None:
        for tenant in await asyncio.to_thread(self._databases.tenants):
            with self._beside_others(tenant):
                await self._upkeep(tenant)

    @contextmanager
    def _beside_others(self, tenant: str) -> Iterator[None]:
        """A database that cannot be read stops nobody else's work. It is told once, until it can be read again."""
        try:
            yield
            self._broken.discard(tenant)
        except RetrievalUnavailable as error:
            if tenant not in self._broken:
                _LOG.warning("the documents of %s cannot be worked on: %s", tenant, error.__cause__ or error)
            self._broken.add(tenant)

    # --- search

    async def touch(self, tenant: str, store_ids: Sequence[str]) -> None:
        """Not waited for: a search should not wait for the step of a large folder to end, nor for the disk."""
        minute = self._now() // _MINUTE
        due = [store_id for store_id in store_ids if self._touched.get((tenant, store_id)) != minute]
        if not due:
            return
        if len(self._touched) > _MOST_TOUCHED:
            self._touched.clear()
        self._touched.update(((tenant, store_id), minute) for store_id in due)
        task = asyncio.create_task(self._touch(tenant, due))
        self._touching.add(task)
        task.add_done_callback(self._touching.discard)

    async def _touch(self, tenant: str, store_ids: Sequence[str]) -> None:
        try:
            await super().touch(tenant, store_ids)
        except RetrievalUnavailable:
            _LOG.warning("could not note that stores of %s were searched", tenant)

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        return self._reads.is_current(tenant, basis, self._now())

    async def view(self, tenant: str, store: str) -> StoreView:
        found = self._reads.state(tenant, store, self._now())
        if found is None:
            raise stores.not_found(store)
        state, has_expired = found
        if has_expired:
            await self._upkeep(tenant)
            return await self.view(tenant, store)
        try:
            snapshot = await self.shelf.snapshot((tenant, state.id), state)
        except NotFound:
            self.shelf.drop((tenant, state.id))
            raise
        return StoreView(self._reads, tenant, snapshot)

    def _loading(self, key: Key) -> Load:
        async def load(since: int, known: KeysView[str]) -> Changes:
            async with self._reading(key[0]) as connection:
                return await sqlite_chunks.changes(connection, *key, since, known, self._now())

        return load


class StoreView:
    """See `rag.ports.View`: a snapshot, with its passages read from the database."""

    def __init__(self, reads: QuickReads, tenant: str, snapshot: Snapshot) -> None:
        self._reads = reads
        self._tenant = tenant
        self._snapshot = snapshot

    @property
    def state(self) -> StoreState:
        return self._snapshot.state

    @property
    def encoder(self) -> str:
        return self._snapshot.encoder

    async def counts(self, words: Sequence[str]) -> WordCounts:
        return self._snapshot.counts(words)

    async def by_words(
        self, words: Mapping[str, float], most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        if self._snapshot.chunks <= _SMALL:
            return self._snapshot.by_words(words, most, checked(filters))
        return await asyncio.to_thread(self._snapshot.by_words, words, most, checked(filters))

    async def by_meaning(
        self, vector: Vectors, most: int, filters: Mapping[str, Any] | None = None
    ) -> Sequence[Ranked]:
        if self._snapshot.chunks <= _SMALL:
            return self._snapshot.by_meaning(vector, most, checked(filters))
        return await asyncio.to_thread(self._snapshot.by_meaning, vector, most, checked(filters))

    async def passages(self, chunks: Sequence[int]) -> Mapping[int, Passage]:
        return self._reads.passages(self._tenant, self.state.id, chunks)
