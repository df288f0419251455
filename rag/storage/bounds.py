"""How much a tenant may keep, checked inside the transaction that would add to it."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import RequestTooLarge, StoreFull
from rag.ports import Limits
from rag.storage.tables import documents, files, stores


def check_file(limits: Limits, size: int) -> None:
    """Raises RequestTooLarge."""
    if size > limits.file_bytes:
        raise RequestTooLarge(
            f"The file has {size:,} bytes, and at most {limits.file_bytes:,} are taken. Split it, or raise "
            "`rag.max_file_bytes`.",
            param="file",
        )


async def check_chunks(limits: Limits, connection: AsyncConnection, tenant: str, store_id: str) -> None:
    """That those of a store, as it is inside the transaction, are not too many. Raises StoreFull."""
    among = (documents.c.tenant == tenant, documents.c.store_id == store_id)
    count = int((await connection.execute(select(func.sum(documents.c.chunks)).where(*among))).scalar() or 0)
    if count > limits.store_chunks:
        raise StoreFull(
            f"The store would have {count:,} chunks, and at most {limits.store_chunks:,} fit in one. Delete "
            "documents, use several stores, or raise `rag.max_store_chunks`."
        )


async def check_bytes(limits: Limits, connection: AsyncConnection, tenant: str) -> None:
    """That what was uploaded and what its chunks take is not too much, in the transaction. Raises StoreFull."""
    uploaded = select(func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.tenant == tenant)
    cut = select(func.coalesce(func.sum(documents.c.bytes), 0)).where(documents.c.tenant == tenant)
    taken = (await connection.execute(select(uploaded.scalar_subquery(), cut.scalar_subquery()))).one()
    total = int(taken[0]) + int(taken[1])
    if total > limits.tenant_bytes:
        raise StoreFull(
            f"Files and chunks would take {total:,} bytes, and at most {limits.tenant_bytes:,} are kept for a "
            "tenant. Delete files, or raise `rag.max_tenant_bytes`."
        )


async def check_stores(limits: Limits, connection: AsyncConnection, tenant: str) -> None:
    """That there is room for one more. Raises StoreFull."""
    counting = select(func.count()).select_from(stores).where(stores.c.tenant == tenant)
    if (await connection.execute(counting)).scalar_one() >= limits.stores:
        raise StoreFull(
            f"There are {limits.stores:,} stores already, the most that a tenant may have. Delete some, or raise "
            "`rag.max_stores`."
        )
