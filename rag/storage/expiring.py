"""What is over: whether an answer's basis still holds, and what nobody needs any more."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from rag.storage.ids import lots
from rag.storage.moments import DAY
from rag.storage.tables import documents, staged, stores


async def is_current(connection: AsyncConnection, tenant: str, basis: Sequence[str], now: int) -> bool:
    """See `contracts.retrieval.Library.current`."""
    return all([await _is_current(connection, tenant, *item, now) for item in wanted_of(basis).items()])


def wanted_of(basis: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
    """By store: a file's id, or nothing for the store itself, and its revision. `basis` is as `contracts.retrieval`
    writes it: STORE@REVISION, or STORE/FILE@REVISION."""
    wanted: dict[str, set[tuple[str, str]]] = {}
    for one in basis:
        place, _, revision = one.rpartition("@")
        store_id, _, file_id = place.partition("/")
        wanted.setdefault(store_id, set()).add((file_id, revision))
    return wanted


async def _is_current(
    connection: AsyncConnection, tenant: str, store_id: str, wanted: set[tuple[str, str]], now: int
) -> bool:
    lasts = or_(stores.c.expires.is_(None), stores.c.expires > now)
    query = select(stores.c.revision).where(stores.c.tenant == tenant, stores.c.id == store_id, lasts)
    revision = (await connection.execute(query)).scalar()
    there = {("", str(revision))}
    file_ids = [file_id for file_id, _ in wanted if file_id]
    for some in lots(file_ids) if revision is not None else ():
        among = (
            documents.c.tenant == tenant,
            documents.c.store_id == store_id,
            documents.c.file_id.in_(some),
            or_(documents.c.expires.is_(None), documents.c.expires > now),
        )
        found = await connection.execute(select(documents.c.file_id, documents.c.revision).where(*among))
        there.update((row.file_id, str(row.revision)) for row in found)
    return revision is not None and wanted <= there


async def clear_stage(connection: AsyncConnection, tenant: str, now: int) -> None:
    """What was staged a day ago: whoever staged it has given up."""
    await connection.execute(delete(staged).where(staged.c.tenant == tenant, staged.c.at < now - DAY))
