"""Steps that touch files as well as a store, on a connection that somebody else opened."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFound
from rag.ports import Limits, Prepared, Put, StoreChanged, Work
from rag.storage import documents as rows
from rag.storage import files
from rag.storage.checks import checked_attributes
from rag.storage.ids import lots
from rag.storage.queue import claimed
from rag.storage.step import Chunks, begin
from rag.storage.tables import documents
from rag.storage.tables import files as file_table
from rag.storage.tables import stores as store_table


async def change(
    connection: AsyncConnection,
    tenant: str,
    store_id: str,
    puts: Sequence[Put],
    gone: Sequence[str],
    chunks: Chunks,
    limits: Limits,
    now: int,
    at: int | None,
) -> None:
    """See `rag.ports.Storage.change`."""
    step = await begin(connection, tenant, store_id, chunks, limits, now)
    if at is not None and step.revision != at + 1:
        raise StoreChanged
    leaving = [*gone, *(put.replaces for put in puts if put.replaces)]
    left = await step.take_out(leaving)
    if missing := set(leaving).difference(left):
        raise NotFound(f"There is no file '{min(missing)}' in the vector store '{store_id}'.", param="file_id")
    await _delete_orphans(connection, tenant, left)
    made = [
        files.blank(
            tenant,
            put.filename,
            put.content,
            now=now + position,
            purpose="assistants",
            updated_at=put.updated_at,
            by_step=True,
        )
        for position, put in enumerate(puts)
    ]
    await files.insert(connection, made, [put.content for put in puts])
    for file, put in zip(made, puts, strict=True):
        blank = rows.blank(tenant, store_id, file, file["created"])
        await step.take_in(blank, file["digest"], put.prepared, checked_attributes(put.attributes), is_new=True)
    await step.finish()


async def complete(
    connection: AsyncConnection, work: Work, prepared: Prepared, chunks: Chunks, limits: Limits, now: int
) -> bool:
    """See `rag.ports.Storage.complete`. Raises StoreFull."""
    try:
        step = await begin(connection, work.tenant, work.store_id, chunks, limits, now)
        file = await files.one(connection, work.tenant, work.file_id, now)
    except NotFound:
        return False
    row = (await connection.execute(select(documents).where(*claimed(work)).with_for_update())).first()
    if row is None:
        return False
    attributes = row.attributes if row.next_attributes is None else row.next_attributes
    await step.take_in(row._mapping, file.digest, prepared, attributes)
    await step.finish()
    return True


async def delete_file(
    connection: AsyncConnection, tenant: str, file_id: str, chunks: Chunks, limits: Limits, now: int
) -> None:
    """Out of all stores, those that have expired included, then itself."""
    holding = select(documents.c.store_id).where(documents.c.tenant == tenant, documents.c.file_id == file_id)
    for store_id in sorted((await connection.execute(holding)).scalars().all()):
        among = (store_table.c.tenant == tenant, store_table.c.id == store_id)
        expires = (await connection.execute(select(store_table.c.expires).where(*among))).scalar()
        before = now if expires is None else min(now, expires - 1)
        step = await begin(connection, tenant, store_id, chunks, limits, before)
        await step.take_out([file_id])
        await step.finish()
    await files.remove(connection, tenant, [file_id])


async def _delete_orphans(connection: AsyncConnection, tenant: str, left: Sequence[str]) -> None:
    """Files of steps that are in no store any more."""
    for some in lots(left):
        held = select(documents.c.file_id).where(documents.c.tenant == tenant, documents.c.file_id.in_(some))
        kept = set((await connection.execute(held)).scalars())
        made = select(file_table.c.id).where(
            file_table.c.tenant == tenant, file_table.c.id.in_(some), file_table.c.by_step
        )
        orphans = [one for one in (await connection.execute(made)).scalars() if one not in kept]
        await files.remove(connection, tenant, orphans)
