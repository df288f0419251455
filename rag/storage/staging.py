"""Vectors that were computed for a step which has not happened yet, so that nobody has to compute them twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rag.storage.ids import lots
from rag.storage.tables import staged as table


async def staged(connection: AsyncConnection, tenant: str, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for some in lots(keys):
        query = select(table.c.key, table.c.vector).where(table.c.tenant == tenant, table.c.key.in_(some))
        found.update((bytes(key), bytes(vector)) for key, vector in await connection.execute(query))
    return found


async def stage(connection: AsyncConnection, tenant: str, vectors: Mapping[bytes, bytes], now: int) -> None:
    await clear(connection, tenant, list(vectors))
    rows = [{"tenant": tenant, "key": key, "vector": vector, "at": now} for key, vector in vectors.items()]
    if rows:
        await connection.execute(table.insert(), rows)


async def clear(connection: AsyncConnection, tenant: str, keys: Sequence[bytes]) -> None:
    for some in lots(keys):
        await connection.execute(delete(table).where(table.c.tenant == tenant, table.c.key.in_(some)))
