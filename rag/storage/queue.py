"""Documents that wait to be ingested, on a connection that somebody else opened.

The non-obvious decision: a document whose ingest ended without a word a few times over fails. Else one that kills
whoever takes it up would be taken up for ever, and all that waits behind it would wait for ever.
"""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.retrieval import ChunkRules
from rag.ports import Work
from rag.storage.moments import SECOND
from rag.storage.tables import documents

MOST_ATTEMPTS = 8
_GIVEN_UP = "Ingesting this file was begun several times and never came to an end. Split it or convert it."


async def claim(connection: AsyncConnection, now: int, lease_s: float, holder: str) -> Work | None:
    """The oldest that nobody is at, of whatever tenants this database holds."""
    waiting = select(documents).where(*_waiting(now))
    oldest = waiting.order_by(documents.c.queued, documents.c.created, documents.c.file_id).limit(1)
    while (row := (await connection.execute(oldest.with_for_update(skip_locked=True))).first()) is not None:
        key = (
            documents.c.tenant == row.tenant,
            documents.c.store_id == row.store_id,
            documents.c.file_id == row.file_id,
        )
        if row.attempts >= MOST_ATTEMPTS:
            await connection.execute(update(documents).where(*key).values(failed("server_error", _GIVEN_UP)))
            continue
        mine = _held_by(holder) + secrets.token_hex(8)
        taken = {"claim": mine, "lease": now + int(lease_s * SECOND), "attempts": row.attempts + 1}
        await connection.execute(update(documents).where(*key).values(taken))
        return Work(
            tenant=row.tenant,
            store_id=row.store_id,
            file_id=row.file_id,
            filename=row.filename,
            rules=ChunkRules(row.rule_size, row.rule_overlap) if row.rule_size is not None else None,
            claim=mine,
        )
    return None


async def give_back(connection: AsyncConnection, holder: str) -> int:
    """What `holder` has waits again. Returns how many documents that were."""
    free = update(documents).where(*_had(holder)).values(claim="", lease=0)
    return (await connection.execute(free)).rowcount


async def has_claims(connection: AsyncConnection, holder: str) -> bool:
    query = select(documents.c.file_id).where(*_had(holder)).limit(1)
    return (await connection.execute(query)).first() is not None


def _had(holder: str) -> tuple[Any, ...]:
    return documents.c.queued.is_not(None), documents.c.claim.startswith(_held_by(holder), autoescape=True)


def _held_by(holder: str) -> str:
    """How its claims begin."""
    return f"{holder}/"


async def waiting_since(connection: AsyncConnection, now: int) -> int | None:
    """When the oldest that nobody is at was queued; None where there is none."""
    query = select(func.min(documents.c.queued)).where(*_waiting(now))
    at: int | None = (await connection.execute(query)).scalar()
    return at


def _waiting(now: int) -> tuple[Any, ...]:
    lasts = documents.c.expires.is_(None) | (documents.c.expires > now)
    return documents.c.queued.is_not(None), documents.c.lease <= now, lasts


async def next_lapse(connection: AsyncConnection) -> int | None:
    """When the first claim lapses, unless it is renewed; None where there is none."""
    query = select(func.min(documents.c.lease)).where(documents.c.queued.is_not(None))
    at: int | None = (await connection.execute(query)).scalar()
    return at


async def renew(connection: AsyncConnection, work: Work, now: int, lease_s: float) -> bool:
    renewed = update(documents).where(*claimed(work)).values(lease=now + int(lease_s * SECOND))
    return bool((await connection.execute(renewed)).rowcount)


async def fail(connection: AsyncConnection, work: Work, code: str, message: str) -> None:
    await connection.execute(update(documents).where(*claimed(work)).values(failed(code, message)))


def claimed(work: Work) -> tuple[Any, ...]:
    """That it is still wanted, and still by this claim."""
    return (
        documents.c.tenant == work.tenant,
        documents.c.store_id == work.store_id,
        documents.c.file_id == work.file_id,
        documents.c.claim == work.claim,
        documents.c.queued.is_not(None),
    )


def failed(code: str, message: str) -> dict[str, Any]:
    """Columns of a document that failed. What of it was found before stays found."""
    return {
        "status": "failed",
        "error_code": code,
        "error": message,
        "queued": None,
        "claim": "",
        "lease": 0,
        "next_attributes": None,
    }
