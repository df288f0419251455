"""Who may do what, as it is stored: tenants, keys and budgets in the database, and the log of every change to them.

The non-obvious decision: every port that changes something takes an `Author`, so that no change can be made without
saying whose it is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct

from contracts.records import Key, Role


class Author(Struct, frozen=True):
    """Who changes something, and why. `by` is `cli:USER`, `admin`, a staff key's id or `weir` itself."""

    by: str
    reason: str = ""


class Tenant(Struct, frozen=True, kw_only=True):
    """A tenant of the database. `routes` and `models` are what it may address; None means everything."""

    name: str
    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None
    refused_models: frozenset[str] = frozenset()
    """Models that learned policies keep its requests from."""
    created_at: datetime
    closed_at: datetime | None = None


class StoredBudget(Struct, frozen=True, kw_only=True):
    """A budget of the database: `settings` are those that the configuration has for one."""

    name: str
    settings: Mapping[str, Any]
    changed_at: datetime


class Known(Struct, frozen=True, kw_only=True):
    """All that the database knows of access, at one moment."""

    keys: tuple[Key, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    budgets: tuple[StoredBudget, ...] = ()

    def open_tenants(self) -> dict[str, Tenant]:
        """Those that were not closed, by name."""
        return {tenant.name: tenant for tenant in self.tenants if tenant.closed_at is None}


class Entry(Struct, frozen=True, kw_only=True):
    """One change. `number` counts from 1; `previous` is the hash of the entry before, `hash` that of this one."""

    number: int
    at: datetime
    by: str
    what: str
    """A noun and what became of it, such as `key.created`."""
    subject: str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str = ""
    previous: str
    hash: str = ""


class KeyStore(Protocol):
    """Keys in the database. What changes here is in force in this process when the call returns.

    Like the stores below it raises KeysUnavailable while the database is down.
    """

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
        """A new key and its secret, which is never shown again."""

    async def revoke(self, key_id: str, *, author: Author) -> bool:
        """False where there is no such key."""

    async def find(self, key_id: str) -> Key | None: ...

    async def list(self, tenant: str | None = None) -> Sequence[Key]:
        """Oldest first, revoked ones included."""


class TenantStore(Protocol):
    """Tenants in the database."""

    async def create(
        self,
        name: str,
        routes: Sequence[str] | None,
        models: Sequence[str] | None,
        refused_models: Sequence[str],
        *,
        author: Author,
    ) -> Tenant:
        """Raises InvalidRequest where the name is taken, also by one that was closed."""

    async def change(self, name: str, changes: Mapping[str, Collection[str] | None], *, author: Author) -> Tenant:
        """`changes` has what is to be different of `routes`, `models` and `refused_models`.

        Raises NotFound, and InvalidRequest where it was closed.
        """

    async def close(self, name: str, *, author: Author) -> Tenant:
        """Its keys are refused from now on, for good. Raises NotFound; closing twice changes nothing."""

    async def list(self) -> Sequence[Tenant]:
        """By name, closed ones included."""


class BudgetStore(Protocol):
    """Budgets in the database. A `tenant` that is not empty keeps to budgets that name it: others are not found."""

    async def set(
        self, name: str, settings: Mapping[str, Any], *, author: Author, tenant: str = ""
    ) -> StoredBudget:
        """Make a budget, or put `settings` in place of what it was."""

    async def remove(self, name: str, *, author: Author, tenant: str = "") -> bool:
        """False where there is none."""

    async def list(self) -> Sequence[StoredBudget]:
        """By name."""


class ChangeHistory(Protocol):
    """The log of all these changes."""

    async def list(
        self, *, subject: str | None = None, since: datetime | None = None, most: int = 1000
    ) -> Sequence[Entry]:
        """The newest `most` that fit, oldest first."""
