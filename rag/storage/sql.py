"""What both engines share: all of `rag.ports.Storage` but the queue's look over tenants, views, and how chunks lie.

The non-obvious decision: an engine opens transactions and nothing else here does, so each method below is one
transaction, and an engine's faults become RetrievalUnavailable in one place of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFound, StoreFull
from contracts.retrieval import Attributes, ChunkRules, Counts, Document, Page, Status, Store, StoredFile
from rag.ports import Holding, Limits, Prepared, Put, View, Work
from rag.storage import changing, documents, expiring, files, queue, stores
from rag.storage.bounds import check_bytes, check_file, check_stores
from rag.storage.checks import (
    checked_attributes,
    checked_days,
    checked_filename,
    checked_metadata,
    checked_name,
    checked_rules,
)
from rag.storage.moments import Clock, micros, now
from rag.storage.staging import clear, stage, staged
from rag.storage.step import Chunks, begin
from rag.storage.tables import texts


class SqlStorage(Chunks, ABC):
    """See `rag.ports.Storage`. `clock` is asked for the time whenever it matters."""

    def __init__(self, limits: Limits | None = None, clock: Clock = now) -> None:
        self.limits = limits or Limits()
        self._clock = clock

    # --- what an engine adds

    @abstractmethod
    def _reading(self, tenant: str) -> AbstractAsyncContextManager[AsyncConnection]:
        """Sees one moment. Raises RetrievalUnavailable, as below."""

    @abstractmethod
    def _writing(self, tenant: str) -> AbstractAsyncContextManager[AsyncConnection]:
        """Committed at its end, rolled back where anything is raised inside."""

    @abstractmethod
    async def _drop_store(self, connection: AsyncConnection, tenant: str, store_id: str) -> None:
        """What the engine has of a store that is being deleted."""

    @abstractmethod
    async def _vectors_of(
        self, connection: AsyncConnection, tenant: str, keys: Sequence[bytes]
    ) -> Mapping[bytes, bytes]:
        """Float32 vectors of the tenant's chunks that have these keys."""

    @abstractmethod
    async def prepare(self) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def claim(self, lease_s: float, holder: str = "") -> Work | None: ...

    @abstractmethod
    async def give_back(self, holder: str) -> int: ...

    @abstractmethod
    async def upkeep(self) -> None: ...

    @abstractmethod
    async def view(self, tenant: str, store: str) -> View: ...

    # --- files

    async def add_file(
        self,
        tenant: str,
        filename: str,
        content: bytes,
        *,
        purpose: str = "assistants",
        updated_at: datetime | None = None,
        expires_after_s: int | None = None,
    ) -> StoredFile:
        checked_filename(filename)
        check_file(self.limits, len(content))
        async with self._writing(tenant) as connection:
            added = await files.add(
                connection,
                tenant,
                filename,
                content,
                now=self._now(),
                purpose=purpose,
                updated_at=updated_at,
                expires_after_s=expires_after_s,
            )
            await check_bytes(self.limits, connection, tenant)
        return added

    async def file(self, tenant: str, file_id: str) -> StoredFile:
        async with self._reading(tenant) as connection:
            return await files.one(connection, tenant, file_id, self._now())

    async def content(self, tenant: str, file_id: str) -> bytes:
        async with self._reading(tenant) as connection:
            return await files.content_of(connection, tenant, file_id, self._now())

    async def files(self, tenant: str, page: Page, *, purpose: str = "") -> Sequence[StoredFile]:
        async with self._reading(tenant) as connection:
            return await files.listed(connection, tenant, page, purpose, self._now())

    async def delete_file(self, tenant: str, file_id: str) -> None:
        async with self._writing(tenant) as connection:
            await files.row_of(connection, tenant, file_id, self._now())
            await changing.delete_file(connection, tenant, file_id, self, self.limits, self._now())

    # --- stores

    async def create_store(
        self,
        tenant: str,
        name: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        expires_after_days: int | None = None,
    ) -> Store:
        checked_name(name)
        pairs, days = checked_metadata(metadata), checked_days(expires_after_days)
        async with self._writing(tenant) as connection:
            await check_stores(self.limits, connection, tenant)
            store_id = await stores.create(connection, tenant, name, pairs, days, self._now())
            return await self._store(connection, tenant, store_id)

    async def store(self, tenant: str, store: str) -> Store:
        async with self._reading(tenant) as connection:
            return await self._store(connection, tenant, store, by_name=True)

    async def stores(self, tenant: str, page: Page) -> Sequence[Store]:
        async with self._reading(tenant) as connection:
            return await stores.listed(connection, tenant, page, self._now())

    async def change_store(self, tenant: str, store_id: str, changes: Mapping[str, Any]) -> Store:
        async with self._writing(tenant) as connection:
            return await stores.change(connection, tenant, store_id, changes, self._now())

    async def delete_store(self, tenant: str, store_id: str) -> None:
        async with self._writing(tenant) as connection:
            await stores.row_of(connection, tenant, store_id, self._now(), lock=True)
            await self._delete_store(connection, tenant, store_id)

    # --- documents

    async def attach(
        self,
        tenant: str,
        store_id: str,
        file_ids: Sequence[str],
        *,
        attributes: Attributes | None = None,
        rules: ChunkRules | None = None,
        batch: str = "",
    ) -> Sequence[Document]:
        size, overlap = checked_rules(rules)
        asked = {"attributes": checked_attributes(attributes), "rule_size": size, "rule_overlap": overlap}
        async with self._writing(tenant) as connection:
            return await documents.attach(
                connection, tenant, store_id, file_ids, asked | {"batch": batch}, self._now()
            )

    async def document(self, tenant: str, store_id: str, file_id: str) -> Document:
        async with self._reading(tenant) as connection:
            return documents.as_document(await self._document(connection, tenant, store_id, file_id))

    async def documents(
        self, tenant: str, store_id: str, page: Page, *, status: Status | None = None, batch: str = ""
    ) -> Sequence[Document]:
        async with self._reading(tenant) as connection:
            return await documents.listed(
                connection, tenant, store_id, page, self._now(), status=status, batch=batch
            )

    async def holdings(self, tenant: str, store_id: str) -> Sequence[Holding]:
        async with self._reading(tenant) as connection:
            return await documents.holdings(connection, tenant, store_id, self._now())

    async def set_attributes(self, tenant: str, store_id: str, file_id: str, attributes: Attributes) -> Document:
        checked = checked_attributes(attributes)
        async with self._writing(tenant) as connection:
            step = await begin(connection, tenant, store_id, self, self.limits, self._now())
            row = await self._document(connection, tenant, store_id, file_id, lock=True)
            await step.set_attributes(row._mapping, checked)
            await step.finish()
            return documents.as_document(await self._document(connection, tenant, store_id, file_id))

    async def detach(self, tenant: str, store_id: str, file_id: str) -> None:
        async with self._writing(tenant) as connection:
            step = await begin(connection, tenant, store_id, self, self.limits, self._now())
            await self._document(connection, tenant, store_id, file_id)
            await step.take_out([file_id])
            await step.finish()

    async def text(self, tenant: str, store_id: str, file_id: str) -> str:
        async with self._reading(tenant) as connection:
            await self._document(connection, tenant, store_id, file_id)
            among = (texts.c.tenant == tenant, texts.c.store_id == store_id, texts.c.file_id == file_id)
            found = (await connection.execute(select(texts.c.text).where(*among))).scalar()
        if found is None:
            raise NotFound(f"The file '{file_id}' has not been read yet.", param="file_id")
        return str(found)

    async def batch(self, tenant: str, store_id: str, batch: str) -> Counts:
        async with self._reading(tenant) as connection:
            return await documents.batch_counts(connection, tenant, store_id, batch, self._now())

    async def cancel(self, tenant: str, store_id: str, batch: str) -> Counts:
        async with self._writing(tenant) as connection:
            return await documents.cancel(connection, tenant, store_id, batch, self._now())

    # --- the queue

    async def renew(self, work: Work, lease_s: float) -> bool:
        async with self._writing(work.tenant) as connection:
            return await queue.renew(connection, work, self._now(), lease_s)

    async def complete(self, work: Work, prepared: Prepared) -> bool:
        """As the port says; one that does not fit into its store fails, and says so."""
        try:
            async with self._writing(work.tenant) as connection:
                return await changing.complete(connection, work, prepared, self, self.limits, self._now())
        except StoreFull as full:
            await self.fail(work, "invalid_file", full.message)
            return True

    async def fail(self, work: Work, code: str, message: str) -> None:
        async with self._writing(work.tenant) as connection:
            await queue.fail(connection, work, code, message)

    async def staged(self, tenant: str, keys: Sequence[bytes]) -> Mapping[bytes, bytes]:
        async with self._reading(tenant) as connection:
            found = await staged(connection, tenant, keys)
            missing = [key for key in keys if key not in found]
            return found | dict(await self._vectors_of(connection, tenant, missing)) if missing else found

    async def stage(self, tenant: str, vectors: Mapping[bytes, bytes]) -> None:
        async with self._writing(tenant) as connection:
            await stage(connection, tenant, vectors, self._now())

    async def clear_stage(self, tenant: str, keys: Sequence[bytes]) -> None:
        async with self._writing(tenant) as connection:
            await clear(connection, tenant, keys)

    # --- steps

    async def change(
        self, tenant: str, store_id: str, puts: Sequence[Put], gone: Sequence[str], *, at: int | None = None
    ) -> Store:
        for put in puts:
            checked_filename(put.filename)
            checked_attributes(put.attributes)
            check_file(self.limits, len(put.content))
        async with self._writing(tenant) as connection:
            await changing.change(connection, tenant, store_id, puts, gone, self, self.limits, self._now(), at)
            return await self._store(connection, tenant, store_id)

    # --- search

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        now = self._now()
        async with self._reading(tenant) as connection:
            return await expiring.is_current(connection, tenant, basis, now)

    async def touch(self, tenant: str, store_ids: Sequence[str]) -> None:
        async with self._writing(tenant) as connection:
            for store_id in sorted(set(store_ids)):
                await stores.touch(connection, tenant, store_id, self._now())

    # --- inside

    def _now(self) -> int:
        return micros(self._clock())

    async def _store(self, connection: AsyncConnection, tenant: str, store: str, *, by_name: bool = False) -> Store:
        row = await stores.row_of(connection, tenant, store, self._now(), by_name=by_name)
        return (await stores.whole(connection, tenant, [row]))[0]

    async def _document(
        self, connection: AsyncConnection, tenant: str, store_id: str, file_id: str, *, lock: bool = False
    ) -> Any:
        await stores.row_of(connection, tenant, store_id, self._now())
        return await documents.row_of(connection, tenant, store_id, file_id, self._now(), lock=lock)

    async def _delete_store(self, connection: AsyncConnection, tenant: str, store_id: str) -> None:
        await self._drop_store(connection, tenant, store_id)
        await stores.remove(connection, tenant, store_id)

    async def _upkeep(self, tenant: str) -> None:
        """Of one tenant: what has expired goes, step by step."""
        async with self._writing(tenant) as connection:
            for store_id in await stores.expired(connection, tenant, self._now()):
                await self._delete_store(connection, tenant, store_id)
            for file_id in await files.expired(connection, tenant, self._now()):
                await changing.delete_file(connection, tenant, file_id, self, self.limits, self._now())
            await expiring.clear_stage(connection, tenant, self._now())
