"""Rows of documents, on a connection that somebody else opened: what their owners see, and ask to be ingested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFound
from contracts.retrieval import ChunkRules, Counts, Document, Page, Status
from rag.ports import Holding
from rag.storage import files, stores
from rag.storage.ids import lots
from rag.storage.moments import moment
from rag.storage.pages import page_of
from rag.storage.tables import documents
from rag.storage.tables import files as file_table


async def attach(
    connection: AsyncConnection,
    tenant: str,
    store_id: str,
    file_ids: Sequence[str],
    asked: Mapping[str, Any],
    now: int,
) -> list[Document]:
    """`asked` are the columns that say how: `attributes`, `rule_size`, `rule_overlap`, `batch`."""
    await stores.row_of(connection, tenant, store_id, now)
    there = {row.file_id: row for row in await rows_of(connection, tenant, store_id, file_ids)}
    changed = {"status": "in_progress", "queued": now, "claim": "", "lease": 0, "attempts": 0}
    changed |= {"error_code": "", "error": ""}
    how = {name: value for name, value in asked.items() if name != "attributes"}
    for position, file_id in enumerate(dict.fromkeys(file_ids)):
        file = await files.row_of(connection, tenant, file_id, now)
        row = there.get(file_id)
        attributes = dict(asked["attributes"])
        if row is None:
            # Each its own time, so that lists have them in the order in which they were named.
            fresh = blank(tenant, store_id, file._mapping, now + position) | {"attributes": attributes}
            await connection.execute(documents.insert(), fresh | how | changed)
            continue
        # What is found has its attributes until the new ones come with what is ingested.
        kept = {"next_attributes": attributes} if row.revision else {"attributes": attributes}
        await connection.execute(
            update(documents).where(*_key(tenant, store_id, file_id)).values(how | changed | kept)
        )
    found = {row.file_id: as_document(row) for row in await rows_of(connection, tenant, store_id, file_ids)}
    return [found[file_id] for file_id in file_ids]


def blank(tenant: str, store_id: str, file: Mapping[Any, Any], now: int) -> dict[str, Any]:
    """All columns of a document that was never ingested."""
    return {
        "tenant": tenant,
        "store_id": store_id,
        "file_id": file["id"],
        "filename": file["filename"],
        "status": "in_progress",
        "created": now,
        "updated": file["updated"],
        "expires": file["expires"],
        "revision": 0,
        "first_chunk": 0,
        "chunks": 0,
        "bytes": 0,
        "tokens": 0,
        "attributes": {},
        "next_attributes": None,
        "rule_size": None,
        "rule_overlap": None,
        "encoder": "",
        "chunker": "",
        "content_mark": "",
        "mark": "",
        "batch": "",
        "error_code": "",
        "error": "",
        "queued": None,
        "claim": "",
        "lease": 0,
        "attempts": 0,
    }


async def row_of(
    connection: AsyncConnection, tenant: str, store_id: str, file_id: str, now: int, *, lock: bool = False
) -> Row[Any]:
    query = select(documents).where(*_key(tenant, store_id, file_id))
    row = (await connection.execute(query.with_for_update() if lock else query)).first()
    if row is None or (row.expires is not None and row.expires <= now):
        raise NotFound(f"There is no file '{file_id}' in the vector store '{store_id}'.", param="file_id")
    return row


async def rows_of(
    connection: AsyncConnection, tenant: str, store_id: str, file_ids: Sequence[str]
) -> list[Row[Any]]:
    """Of those that are there, in any order."""
    rows: list[Row[Any]] = []
    for some in lots(file_ids):
        among = (documents.c.tenant == tenant, documents.c.store_id == store_id, documents.c.file_id.in_(some))
        rows += (await connection.execute(select(documents).where(*among))).all()
    return rows


async def listed(
    connection: AsyncConnection,
    tenant: str,
    store_id: str,
    page: Page,
    now: int,
    *,
    status: Status | None,
    batch: str,
) -> list[Document]:
    await stores.row_of(connection, tenant, store_id, now)
    among = [
        documents.c.tenant == tenant,
        documents.c.store_id == store_id,
        (documents.c.expires.is_(None)) | (documents.c.expires > now),
    ]
    if batch:
        if not await stores.counted(connection, tenant, [store_id], batch):
            raise _no_batch(batch, store_id)
        among.append(documents.c.batch == batch)
    only = [documents.c.status == status] if status else []
    return [as_document(row) for row in await page_of(connection, documents, "file_id", among, page, only)]


async def holdings(connection: AsyncConnection, tenant: str, store_id: str, now: int) -> list[Holding]:
    await stores.row_of(connection, tenant, store_id, now)
    of_file = (file_table.c.tenant == documents.c.tenant) & (file_table.c.id == documents.c.file_id)
    query = select(documents, file_table.c.digest).join(file_table, of_file)
    among = (documents.c.tenant == tenant, documents.c.store_id == store_id)
    return [
        Holding(
            file_id=row.file_id,
            filename=row.filename,
            digest=row.digest,
            updated_at=moment(row.updated),
            status=row.status,
            encoder=row.encoder,
            chunker=row.chunker,
        )
        for row in await connection.execute(query.where(*among).order_by(documents.c.created, documents.c.file_id))
    ]


async def batch_counts(connection: AsyncConnection, tenant: str, store_id: str, batch: str, now: int) -> Counts:
    await stores.row_of(connection, tenant, store_id, now)
    counts = await stores.counted(connection, tenant, [store_id], batch) if batch else {}
    if not counts:
        raise _no_batch(batch, store_id)
    return stores.as_counts(counts[store_id])


async def cancel(connection: AsyncConnection, tenant: str, store_id: str, batch: str, now: int) -> Counts:
    """What is found stays found, as it was before it was attached again."""
    await batch_counts(connection, tenant, store_id, batch, now)
    waiting = update(documents).where(
        documents.c.tenant == tenant,
        documents.c.store_id == store_id,
        documents.c.batch == batch,
        documents.c.status == "in_progress",
    )
    over = {"queued": None, "claim": "", "lease": 0, "next_attributes": None}
    await connection.execute(waiting.where(documents.c.revision != 0).values(over | {"status": "completed"}))
    await connection.execute(waiting.where(documents.c.revision == 0).values(over | {"status": "cancelled"}))
    return await batch_counts(connection, tenant, store_id, batch, now)


def as_document(row: Any) -> Document:
    """With the attributes it has or, where it waits to be ingested again, will have."""
    return Document(
        store_id=row.store_id,
        file_id=row.file_id,
        filename=row.filename,
        status=row.status,
        created_at=moment(row.created),
        updated_at=moment(row.updated),
        revision=row.revision,
        bytes=row.bytes,
        chunks=row.chunks,
        tokens=row.tokens,
        attributes=row.attributes if row.next_attributes is None else row.next_attributes,
        rules=ChunkRules(row.rule_size, row.rule_overlap) if row.rule_size is not None else None,
        batch=row.batch,
        error_code=row.error_code,
        error=row.error,
    )


def _key(tenant: str, store_id: str, file_id: str) -> tuple[Any, ...]:
    return (documents.c.tenant == tenant, documents.c.store_id == store_id, documents.c.file_id == file_id)


def _no_batch(batch: str, store_id: str) -> NotFound:
    return NotFound(f"There is no batch '{batch}' in the vector store '{store_id}'.", param="batch_id")
