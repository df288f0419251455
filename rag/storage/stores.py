"""Rows of stores, on a connection that somebody else opened: all of it happens in that transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import InvalidRequest, NotFound
from contracts.retrieval import Counts, Page, Store, StoreState
from rag.storage.checks import checked_days, checked_metadata, checked_name
from rag.storage.ids import lots, new_id
from rag.storage.moments import DAY, moment
from rag.storage.pages import page_of
from rag.storage.tables import documents, stores, texts

EMPTY_VERSION = "0" * 32


async def create(
    connection: AsyncConnection, tenant: str, name: str, metadata: Mapping[str, str], days: int | None, now: int
) -> str:
    store_id = new_id("vs_")
    row = {
        "tenant": tenant,
        "id": store_id,
        "name": name,
        "created": now,
        "active": now,
        "revision": 0,
        "version": EMPTY_VERSION,
        "next_chunk": 1,
        "metadata": dict(metadata),
        "expires_after_days": days,
        "expires": now + days * DAY if days else None,
    }
    await connection.execute(stores.insert(), row)
    return store_id


async def row_of(
    connection: AsyncConnection, tenant: str, store: str, now: int, *, by_name: bool = False, lock: bool = False
) -> Row[Any]:
    """By id, and if `by_name` by name, the oldest. `lock`: nobody else changes it until the transaction ends."""
    among = [stores.c.tenant == tenant, _lasts(now)]
    query = select(stores).where(*among, stores.c.id == store)
    row = (await connection.execute(query.with_for_update() if lock else query)).first()
    if row is None and by_name and store:
        named = select(stores).where(*among, stores.c.name == store)
        row = (await connection.execute(named.order_by(stores.c.created, stores.c.id).limit(1))).first()
    if row is None:
        raise not_found(store)
    return row


async def whole(connection: AsyncConnection, tenant: str, rows: Sequence[Row[Any]]) -> list[Store]:
    """With what is counted from their documents."""
    counts = await counted(connection, tenant, [row.id for row in rows])
    return [_as_store(row, counts.get(row.id, ())) for row in rows]


async def counted(
    connection: AsyncConnection, tenant: str, store_ids: Sequence[str], batch: str = ""
) -> dict[str, list[Row[Any]]]:
    """By store: a row of each status with `documents`, `chunks` and `bytes`."""
    found: dict[str, list[Row[Any]]] = {}
    totals = (
        func.count().label("documents"),
        func.sum(documents.c.chunks).label("chunks"),
        func.sum(documents.c.bytes).label("bytes"),
    )
    for some in lots(store_ids):
        among = [documents.c.tenant == tenant, documents.c.store_id.in_(some)]
        if batch:
            among.append(documents.c.batch == batch)
        query = select(documents.c.store_id, documents.c.status, *totals).where(*among)
        for row in await connection.execute(query.group_by(documents.c.store_id, documents.c.status)):
            found.setdefault(row.store_id, []).append(row)
    return found


def as_counts(rows: Sequence[Row[Any]]) -> Counts:
    return Counts(**{row.status: int(row.documents) for row in rows})


async def listed(connection: AsyncConnection, tenant: str, page: Page, now: int) -> list[Store]:
    rows = await page_of(connection, stores, "id", [stores.c.tenant == tenant, _lasts(now)], page)
    return await whole(connection, tenant, rows)


async def change(
    connection: AsyncConnection, tenant: str, store_id: str, changes: Mapping[str, Any], now: int
) -> Store:
    row = await row_of(connection, tenant, store_id, now, lock=True)
    values: dict[str, Any] = {"active": now}
    days = row.expires_after_days
    for name, value in changes.items():
        if name == "name":
            values["name"] = checked_name(value or "")
        elif name == "metadata":
            values["metadata"] = checked_metadata(value)
        elif name == "expires_after_days":
            days = values["expires_after_days"] = checked_days(value)
        else:
            raise InvalidRequest(f"A store has no '{name}' that could be changed.", param=name)
    values["expires"] = now + days * DAY if days else None
    among = (stores.c.tenant == tenant, stores.c.id == store_id)
    await connection.execute(update(stores).where(*among).values(values))
    changed = (await connection.execute(select(stores).where(*among))).all()
    return (await whole(connection, tenant, changed))[0]


async def remove(connection: AsyncConnection, tenant: str, store_id: str) -> None:
    """With its documents and their texts. The engine's own part of them has to go first."""
    for table, key in ((documents, "store_id"), (texts, "store_id"), (stores, "id")):
        await connection.execute(delete(table).where(table.c.tenant == tenant, table.c[key] == store_id))


async def expired(connection: AsyncConnection, tenant: str, now: int) -> Sequence[str]:
    query = select(stores.c.id).where(stores.c.tenant == tenant, stores.c.expires <= now)
    return (await connection.execute(query)).scalars().all()


async def touch(connection: AsyncConnection, tenant: str, store_id: str, now: int) -> None:
    row = (
        await connection.execute(
            select(stores.c.expires_after_days)
            .where(stores.c.tenant == tenant, stores.c.id == store_id, _lasts(now))
            .with_for_update(skip_locked=True)
        )
    ).first()
    if row is not None:
        days = row.expires_after_days
        values = {"active": now, "expires": now + days * DAY if days else None}
        await connection.execute(
            update(stores).where(stores.c.tenant == tenant, stores.c.id == store_id).values(values)
        )


def state_of(row: Any) -> StoreState:
    return StoreState(id=row.id, revision=row.revision, version=row.version)


def not_found(store: str) -> NotFound:
    return NotFound(f"There is no vector store '{store}'.", param="vector_store_id")


def _as_store(row: Any, counts: Sequence[Row[Any]]) -> Store:
    return Store(
        id=row.id,
        name=row.name,
        created_at=moment(row.created),
        last_active_at=moment(row.active),
        state=state_of(row),
        counts=as_counts(counts),
        chunks=sum(int(found.chunks) for found in counts),
        bytes=sum(int(found.bytes) for found in counts),
        metadata=row.metadata,
        expires_after_days=row.expires_after_days,
        expires_at=moment(row.expires) if row.expires is not None else None,
    )


def _lasts(now: int) -> ColumnElement[bool]:
    return or_(stores.c.expires.is_(None), stores.c.expires > now)
