"""Chunks in SQLite: rows that passages are read from, and a pack for each document that the index in memory loads.

All of it on a connection that somebody else opened, in that transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rag.index.memory import Changes
from rag.index.packing import pack_vectors, pack_words, unpack_vectors
from rag.index.segment import Indexed
from rag.ports import Prepared, vector_key
from rag.storage import stores
from rag.storage.ids import lots
from rag.storage.tables import chunks, documents, packs
from rag.storage.tables import stores as store_table


async def put(connection: AsyncConnection, tenant: str, store_id: str, file_id: str, prepared: Prepared) -> int:
    """The number of the first chunk."""
    among = (store_table.c.tenant == tenant, store_table.c.id == store_id)
    first = (await connection.execute(select(store_table.c.next_chunk).where(*among))).scalar_one()
    following = first + len(prepared.chunks)
    await connection.execute(update(store_table).where(*among).values(next_chunk=following))
    rows = []
    for number, chunk in enumerate(prepared.chunks, first):
        text = prepared.text[chunk.start : chunk.end]
        rows.append(
            {
                "tenant": tenant,
                "store_id": store_id,
                "number": number,
                "file_id": file_id,
                "start": chunk.start,
                "end": chunk.end,
                "tokens": chunk.tokens,
                "context": chunk.context,
                "text": text,
                "key": vector_key(prepared.encoder, chunk.context, text),
            }
        )
    if rows:
        await connection.execute(chunks.insert(), rows)
    pack = {"words": pack_words(prepared.words), "vectors": pack_vectors(prepared.vectors)}
    await connection.execute(packs.insert(), {"tenant": tenant, "store_id": store_id, "file_id": file_id} | pack)
    return int(first)


async def drop(connection: AsyncConnection, tenant: str, store_id: str, file_ids: Sequence[str]) -> None:
    own = (documents.c.tenant == tenant, documents.c.store_id == store_id, documents.c.file_id.in_(file_ids))
    spans = await connection.execute(select(documents.c.first_chunk, documents.c.chunks).where(*own))
    for first, count in spans.all():
        numbers = (chunks.c.number >= first, chunks.c.number < first + count)
        await connection.execute(
            delete(chunks).where(chunks.c.tenant == tenant, chunks.c.store_id == store_id, *numbers)
        )
    among = (packs.c.tenant == tenant, packs.c.store_id == store_id, packs.c.file_id.in_(file_ids))
    await connection.execute(delete(packs).where(*among))


async def drop_store(connection: AsyncConnection, tenant: str, store_id: str) -> None:
    for table in (chunks, packs):
        await connection.execute(delete(table).where(table.c.tenant == tenant, table.c.store_id == store_id))


async def vectors_of(connection: AsyncConnection, tenant: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    """Float32, of those keys that chunks have."""
    places: dict[tuple[str, str], list[tuple[bytes, int]]] = {}
    for some in lots(keys):
        query = select(chunks.c.key, chunks.c.store_id, chunks.c.file_id, chunks.c.number).where(
            chunks.c.tenant == tenant, chunks.c.key.in_(some)
        )
        for key, store_id, file_id, number in await connection.execute(query):
            places.setdefault((store_id, file_id), []).append((bytes(key), number))
    found: dict[bytes, bytes] = {}
    for (store_id, file_id), wanted in places.items():
        wanted = [(key, number) for key, number in wanted if key not in found]
        if not wanted:
            continue
        query = _with_packs(tenant, store_id).where(documents.c.file_id == file_id)
        row = (await connection.execute(query)).one()
        vectors = unpack_vectors(row.vectors, row.chunks).astype("<f4")
        found.update((key, vectors[number - row.first_chunk].tobytes()) for key, number in wanted)
    return found


async def changes(
    connection: AsyncConnection, tenant: str, store_id: str, since: int, known: Collection[str], now: int
) -> Changes:
    """Of a store after the revision `since`, for somebody who has loaded the files `known`. Raises NotFound."""
    state = stores.state_of(await stores.row_of(connection, tenant, store_id, now))
    query = _with_packs(tenant, store_id).where(documents.c.revision > since)
    rows = (await connection.execute(query)).all()
    there = (documents.c.tenant == tenant, documents.c.store_id == store_id, documents.c.revision > 0)
    count = (await connection.execute(select(func.count()).select_from(documents).where(*there))).scalar_one()
    found: set[str] | None = None
    if count != len({*known, *(row.file_id for row in rows)}):
        found = set((await connection.execute(select(documents.c.file_id).where(*there))).scalars())
    return Changes(state, [(_indexed(row), row.words, row.vectors) for row in rows], found)


def _with_packs(tenant: str, store_id: str) -> Any:
    of_document = (packs.c.tenant == documents.c.tenant) & (packs.c.store_id == documents.c.store_id)
    joined = documents.join(packs, of_document & (packs.c.file_id == documents.c.file_id))
    columns = (documents.c.file_id, documents.c.revision, documents.c.first_chunk, documents.c.chunks)
    query = select(*columns, documents.c.encoder, documents.c.attributes, packs.c.words, packs.c.vectors)
    return query.select_from(joined).where(documents.c.tenant == tenant, documents.c.store_id == store_id)


def _indexed(row: Row[Any]) -> Indexed:
    return Indexed(row.file_id, row.revision, row.first_chunk, row.chunks, row.encoder, row.attributes)
