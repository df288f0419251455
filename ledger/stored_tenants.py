"""Tenants in the database: made, changed and closed, each with its entry in the audit log.

The non-obvious decision: a closed tenant is never deleted and its name never given again, because its usage events
name it for ever.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from msgspec import structs
from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.access import Author, Tenant
from contracts.errors import InvalidRequest, NotFound
from ledger.audit_log import append, changing
from ledger.database import Database
from ledger.tables import tenants


async def create_tenant(
    database: Database,
    name: str,
    routes: Collection[str] | None = None,
    models: Collection[str] | None = None,
    refused_models: Collection[str] = (),
    *,
    author: Author,
) -> Tenant:
    """Raises InvalidRequest where the name is taken, also by a tenant that was closed."""
    tenant = Tenant(
        name=name,
        routes=None if routes is None else frozenset(routes),
        models=None if models is None else frozenset(models),
        refused_models=frozenset(refused_models),
        created_at=datetime.now(UTC),
    )
    async with changing(database) as connection:
        known = await _find(connection, name)
        if known is not None:
            closed = " It was closed, and its name is not given again." if known.closed_at else ""
            raise InvalidRequest(f"There is a tenant '{name}' already.{closed}", param="name")
        await connection.execute(
            tenants.insert().values(name=name, created_at=tenant.created_at, **_limits(tenant))
        )
        await append(connection, author, "tenant.created", name, after=_limits(tenant))
    return tenant


async def change_tenant(
    database: Database, name: str, changes: Mapping[str, Collection[str] | None], *, author: Author
) -> Tenant:
    """Put `changes` of `routes`, `models` and `refused_models` in place of what was there.

    Raises NotFound, and InvalidRequest where the tenant was closed.
    """
    async with changing(database) as connection:
        before = await _required(connection, name)
        if before.closed_at is not None:
            raise InvalidRequest(f"The tenant '{name}' was closed.", param="name")
        new = {limit: None if names is None else frozenset(names) for limit, names in changes.items()}
        after = structs.replace(before, **new)
        if after != before:
            await connection.execute(update(tenants).where(tenants.c.name == name).values(**_limits(after)))
            await append(connection, author, "tenant.changed", name, before=_limits(before), after=_limits(after))
    return after


async def close_tenant(database: Database, name: str, *, author: Author) -> Tenant:
    """Have its keys refused from now on. Raises NotFound; closing twice changes nothing."""
    async with changing(database) as connection:
        before = await _required(connection, name)
        if before.closed_at is not None:
            return before
        after = structs.replace(before, closed_at=datetime.now(UTC))
        await connection.execute(update(tenants).where(tenants.c.name == name).values(closed_at=after.closed_at))
        await append(connection, author, "tenant.closed", name, before=_limits(before))
    return after


async def list_tenants(database: Database) -> list[Tenant]:
    """By name, closed ones included."""
    await database.prepare()
    async with database.reading() as connection:
        return await read_tenants(connection)


async def read_tenants(connection: AsyncConnection) -> list[Tenant]:
    """The same, in a transaction that is open already."""
    return [_tenant(row) for row in (await connection.execute(select(tenants).order_by(tenants.c.name))).mappings()]


async def _required(connection: AsyncConnection, name: str) -> Tenant:
    tenant = await _find(connection, name)
    if tenant is None:
        raise NotFound(
            f"There is no tenant '{name}' in the database. Those of the configuration are changed there."
        )
    return tenant


async def _find(connection: AsyncConnection, name: str) -> Tenant | None:
    row = (await connection.execute(select(tenants).where(tenants.c.name == name))).mappings().first()
    return None if row is None else _tenant(row)


def _limits(tenant: Tenant) -> dict[str, Any]:
    return {
        "routes": None if tenant.routes is None else sorted(tenant.routes),
        "models": None if tenant.models is None else sorted(tenant.models),
        "refused_models": sorted(tenant.refused_models),
    }


def _tenant(row: RowMapping) -> Tenant:
    limits = {name: None if row[name] is None else frozenset(row[name]) for name in ("routes", "models")}
    return Tenant(
        name=row["name"],
        routes=limits["routes"],
        models=limits["models"],
        refused_models=frozenset(row["refused_models"]),
        created_at=row["created_at"],
        closed_at=row["closed_at"],
    )
