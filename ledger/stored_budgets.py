"""Budgets in the database: their settings, as the configuration would have them, each change with its audit entry.

What is spent of them is not here but with the counters. The settings have been checked by whoever hands them in.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.access import Author, StoredBudget
from contracts.errors import NotFound
from ledger.audit_log import append, changing
from ledger.database import Database
from ledger.tables import budgets


async def set_budget(
    database: Database, name: str, settings: Mapping[str, Any], *, author: Author, tenant: str = ""
) -> StoredBudget:
    """Make a budget, or put `settings` in place of what it was.

    `tenant`, where it is not empty, may touch its own only. Raises NotFound where the name is another's.
    """
    budget = StoredBudget(name=name, settings=dict(settings), changed_at=datetime.now(UTC))
    async with changing(database) as connection:
        before = await _find(connection, name)
        if before is not None and not _is_of(before, tenant):
            raise NotFound(f"There is no budget '{name}' that this key may change.")
        if before is not None and before.settings == budget.settings:
            return before
        values = {"settings": budget.settings, "changed_at": budget.changed_at}
        if before is None:
            await connection.execute(budgets.insert().values(name=name, **values))
            await append(connection, author, "budget.created", name, after=budget.settings)
        else:
            await connection.execute(update(budgets).where(budgets.c.name == name).values(**values))
            await append(connection, author, "budget.changed", name, before=before.settings, after=budget.settings)
    return budget


async def remove_budget(database: Database, name: str, *, author: Author, tenant: str = "") -> bool:
    """False where there is none, or none of `tenant`."""
    async with changing(database) as connection:
        before = await _find(connection, name)
        if before is None or not _is_of(before, tenant):
            return False
        await connection.execute(delete(budgets).where(budgets.c.name == name))
        await append(connection, author, "budget.removed", name, before=before.settings)
    return True


async def list_budgets(database: Database) -> list[StoredBudget]:
    """By name."""
    await database.prepare()
    async with database.reading() as connection:
        return await read_budgets(connection)


async def read_budgets(connection: AsyncConnection) -> list[StoredBudget]:
    """The same, in a transaction that is open already."""
    rows = await connection.execute(select(budgets).order_by(budgets.c.name))
    return [StoredBudget(**row) for row in rows.mappings()]


async def _find(connection: AsyncConnection, name: str) -> StoredBudget | None:
    row = (await connection.execute(select(budgets).where(budgets.c.name == name))).mappings().first()
    return None if row is None else StoredBudget(**row)


def _is_of(budget: StoredBudget, tenant: str) -> bool:
    return not tenant or budget.settings.get("tenant") == tenant
