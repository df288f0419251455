"""Keys, tenants, budgets and their history as the ports that the admin's pages use.

Each change is in force in this process when the call returns: `keyring` has read it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from contracts.access import Author, Entry, StoredBudget, Tenant
from contracts.errors import KeysUnavailable
from contracts.records import Key, Role
from ledger import audit_log, stored_budgets, stored_keys, stored_tenants
from ledger.database import Database
from ledger.keys import MemoryKeyring
from ledger.outages import outage_as


class _Stored:
    def __init__(self, database: Database, keyring: MemoryKeyring) -> None:
        self._database = database
        self._keyring = keyring

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Database]:
        with outage_as(KeysUnavailable):
            yield self._database
            await self._keyring.refresh()


class StoredKeys(_Stored):
    """Implements `contracts.access.KeyStore`."""

    async def create(
        self,
        tenant: str,
        name: str,
        routes: Sequence[str] | None,
        models: Sequence[str] | None,
        *,
        author: Author,
        role: Role = "",
    ) -> tuple[Key, str]:
        async with self._changing() as database:
            return await stored_keys.create_key(database, tenant, name, routes, models, author=author, role=role)

    async def revoke(self, key_id: str, *, author: Author) -> bool:
        async with self._changing() as database:
            return await stored_keys.revoke_key(database, key_id, author=author) is not None

    async def find(self, key_id: str) -> Key | None:
        with outage_as(KeysUnavailable):
            return await stored_keys.find_key(self._database, key_id)

    async def list(self, tenant: str | None = None) -> Sequence[Key]:
        with outage_as(KeysUnavailable):
            return await stored_keys.list_keys(self._database, tenant)


class StoredTenants(_Stored):
    """Implements `contracts.access.TenantStore`."""

    async def create(
        self,
        name: str,
        routes: Sequence[str] | None,
        models: Sequence[str] | None,
        refused_models: Sequence[str],
        *,
        author: Author,
    ) -> Tenant:
        async with self._changing() as database:
            return await stored_tenants.create_tenant(database, name, routes, models, refused_models, author=author)

    async def change(self, name: str, changes: Mapping[str, Collection[str] | None], *, author: Author) -> Tenant:
        async with self._changing() as database:
            return await stored_tenants.change_tenant(database, name, changes, author=author)

    async def close(self, name: str, *, author: Author) -> Tenant:
        async with self._changing() as database:
            return await stored_tenants.close_tenant(database, name, author=author)

    async def list(self) -> Sequence[Tenant]:
        with outage_as(KeysUnavailable):
            return await stored_tenants.list_tenants(self._database)


class StoredBudgets(_Stored):
    """Implements `contracts.access.BudgetStore`."""

    async def set(
        self, name: str, settings: Mapping[str, Any], *, author: Author, tenant: str = ""
    ) -> StoredBudget:
        async with self._changing() as database:
            return await stored_budgets.set_budget(database, name, settings, author=author, tenant=tenant)

    async def remove(self, name: str, *, author: Author, tenant: str = "") -> bool:
        async with self._changing() as database:
            return await stored_budgets.remove_budget(database, name, author=author, tenant=tenant)

    async def list(self) -> Sequence[StoredBudget]:
        with outage_as(KeysUnavailable):
            return await stored_budgets.list_budgets(self._database)


class StoredHistory:
    """Implements `contracts.access.ChangeHistory`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self, *, subject: str | None = None, since: datetime | None = None, most: int = 1000
    ) -> Sequence[Entry]:
        with outage_as(KeysUnavailable):
            return await audit_log.list_entries(self._database, subject=subject, since=since, most=most)
