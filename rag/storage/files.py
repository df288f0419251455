"""Rows of files, on a connection that somebody else opened: all of it happens in that transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.errors import NotFound
from contracts.retrieval import Page, StoredFile
from rag.ports import digest_of
from rag.storage.ids import lots, new_id
from rag.storage.moments import SECOND, micros, moment
from rag.storage.pages import page_of
from rag.storage.tables import contents, files


async def add(
    connection: AsyncConnection,
    tenant: str,
    filename: str,
    content: bytes,
    *,
    now: int,
    purpose: str,
    updated_at: datetime | None,
    expires_after_s: int | None = None,
) -> StoredFile:
    row = blank(
        tenant,
        filename,
        content,
        now=now,
        purpose=purpose,
        updated_at=updated_at,
        expires_after_s=expires_after_s,
    )
    await insert(connection, [row], [content])
    return as_file(row)


def blank(
    tenant: str,
    filename: str,
    content: bytes,
    *,
    now: int,
    purpose: str,
    updated_at: datetime | None,
    expires_after_s: int | None = None,
    by_step: bool = False,
) -> dict[str, Any]:
    """All columns of a new file."""
    return {
        "tenant": tenant,
        "id": new_id("file-"),
        "filename": filename,
        "purpose": purpose,
        "bytes": len(content),
        "digest": digest_of(content),
        "created": now,
        "updated": micros(updated_at) if updated_at else now,
        "expires": now + expires_after_s * SECOND if expires_after_s is not None else None,
        "by_step": by_step,
    }


async def insert(
    connection: AsyncConnection, rows: Sequence[Mapping[str, Any]], content_of_rows: Sequence[bytes]
) -> None:
    """Files with their contents, many in a statement: each statement of a large step is time that others wait."""
    if rows:
        await connection.execute(files.insert(), rows)
        those = [
            {"tenant": row["tenant"], "file_id": row["id"], "content": content}
            for row, content in zip(rows, content_of_rows, strict=True)
        ]
        await connection.execute(contents.insert(), those)


async def one(connection: AsyncConnection, tenant: str, file_id: str, now: int) -> StoredFile:
    return as_file((await row_of(connection, tenant, file_id, now))._mapping)


async def row_of(connection: AsyncConnection, tenant: str, file_id: str, now: int) -> Row[Any]:
    query = select(files).where(files.c.tenant == tenant, files.c.id == file_id, _lasts(now))
    row = (await connection.execute(query)).first()
    if row is None:
        raise not_found(file_id)
    return row


async def content_of(connection: AsyncConnection, tenant: str, file_id: str, now: int) -> bytes:
    await row_of(connection, tenant, file_id, now)
    query = select(contents.c.content).where(contents.c.tenant == tenant, contents.c.file_id == file_id)
    return bytes((await connection.execute(query)).scalar_one())


async def listed(
    connection: AsyncConnection, tenant: str, page: Page, purpose: str, now: int
) -> Sequence[StoredFile]:
    among = [files.c.tenant == tenant, _lasts(now)]
    only = [files.c.purpose == purpose] if purpose else []
    return [as_file(row._mapping) for row in await page_of(connection, files, "id", among, page, only)]


async def remove(connection: AsyncConnection, tenant: str, file_ids: Sequence[str]) -> None:
    for some in lots(file_ids):
        await connection.execute(delete(files).where(files.c.tenant == tenant, files.c.id.in_(some)))
        await connection.execute(delete(contents).where(contents.c.tenant == tenant, contents.c.file_id.in_(some)))


async def expired(connection: AsyncConnection, tenant: str, now: int) -> Sequence[str]:
    query = select(files.c.id).where(files.c.tenant == tenant, files.c.expires <= now)
    return (await connection.execute(query)).scalars().all()


def as_file(row: Any) -> StoredFile:
    """From a mapping of the table's columns."""
    return StoredFile(
        id=row["id"],
        filename=row["filename"],
        purpose=row["purpose"],
        bytes=row["bytes"],
        digest=row["digest"],
        created_at=moment(row["created"]),
        updated_at=moment(row["updated"]),
        expires_at=moment(row["expires"]) if row["expires"] is not None else None,
    )


def not_found(file_id: str) -> NotFound:
    return NotFound(f"There is no file '{file_id}'.", param="file_id")


def _lasts(now: int) -> ColumnElement[bool]:
    return or_(files.c.expires.is_(None), files.c.expires > now)
