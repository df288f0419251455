"""Keys in the database: made and revoked, each change with its entry in the audit log.

Only the SHA-256 of a secret is kept: it is 256 random bits, so there is nothing a slow hash would protect. Keys are
never deleted and never come back from revocation.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.access import Author
from contracts.records import Key, Role
from ledger.audit_log import append, changing
from ledger.database import Database
from ledger.tables import keys

PREFIX = "sk-weir-"
DEMO_PREFIX = "sk-weir-demo-"
_RANDOM_BYTES = 32  # 43 characters of URL-safe base64
_SHOWN = len("sha256:") + 12
"""How much of a hash the audit log has: enough to tell keys apart."""


def hash_of(secret: str) -> str:
    """`sha256:` and the hex digest: how a key is written in a configuration and in the database."""
    return "sha256:" + sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def is_demo(secret: str) -> bool:
    """Whether this is one of the published example keys, which work on loopback only."""
    return secret.startswith(DEMO_PREFIX)


async def create_key(
    database: Database,
    tenant: str,
    name: str = "",
    routes: Collection[str] | None = None,
    models: Collection[str] | None = None,
    *,
    author: Author,
    role: Role = "",
) -> tuple[Key, str]:
    """Make a key and return it with its secret, which is shown this once and kept nowhere.

    One with a `role` is a staff key; its `tenant` may be empty, for all of them.
    """
    secret = PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)
    key = Key(
        id=f"key_{secrets.token_hex(8)}",
        tenant=tenant,
        hash=hash_of(secret),
        name=name,
        routes=None if routes is None else frozenset(routes),
        models=None if models is None else frozenset(models),
        created_at=datetime.now(UTC),
        role=role,
    )
    async with changing(database) as connection:
        row = {"id": key.id, "hash": key.hash, "created_at": key.created_at, **_terms(key)}
        await connection.execute(keys.insert().values(**row))
        await append(connection, author, "key.created", key.id, after={**_terms(key), "hash": key.hash[:_SHOWN]})
    return key, secret


async def revoke_key(database: Database, key_id: str, *, author: Author) -> Key | None:
    """Revoke a key of the database and return it; None where there is none. Revoking twice changes nothing."""
    async with changing(database) as connection:
        key = await _find(connection, key_id)
        if key is None or key.revoked_at is not None:
            return key
        await connection.execute(update(keys).where(keys.c.id == key_id).values(revoked_at=datetime.now(UTC)))
        await append(connection, author, "key.revoked", key_id, before={**_terms(key), "hash": key.hash[:_SHOWN]})
        return await _find(connection, key_id)


async def find_key(database: Database, key_id: str) -> Key | None:
    """The key of this id, revoked or not."""
    await database.prepare()
    async with database.reading() as connection:
        return await _find(connection, key_id)


async def list_keys(database: Database, tenant: str | None = None) -> list[Key]:
    """The keys of the database, revoked ones too, oldest first; of one tenant, or of all."""
    await database.prepare()
    async with database.reading() as connection:
        return await read_keys(connection, tenant)


async def read_keys(connection: AsyncConnection, tenant: str | None = None) -> list[Key]:
    """The same, in a transaction that is open already."""
    query = select(keys).order_by(keys.c.created_at, keys.c.id)
    if tenant is not None:
        query = query.where(keys.c.tenant == tenant)
    return [_key(row) for row in (await connection.execute(query)).mappings()]


async def _find(connection: AsyncConnection, key_id: str) -> Key | None:
    row = (await connection.execute(select(keys).where(keys.c.id == key_id))).mappings().first()
    return None if row is None else _key(row)


def _terms(key: Key) -> dict[str, Any]:
    return {
        "tenant": key.tenant,
        "name": key.name,
        "routes": None if key.routes is None else sorted(key.routes),
        "models": None if key.models is None else sorted(key.models),
        "role": key.role,
    }


def _key(row: RowMapping) -> Key:
    values = dict(row)
    for limit in ("routes", "models"):
        values[limit] = None if row[limit] is None else frozenset(row[limit])
    return Key(**values)
