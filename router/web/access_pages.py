"""`/admin/v1`: tenants, budgets, and the log of every change, for the admin and the staff.

What the configuration declares is shown here and changed there. The non-obvious decision: what a tenant may use is
for those who look after all tenants to say, while a tenant's own approver sets budgets and makes staff keys for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from contracts.access import BudgetStore, ChangeHistory, Tenant, TenantStore
from contracts.budgets import Standing, Standings
from contracts.errors import BudgetUnavailable, InvalidRequest, NotFound
from router.access import Operators, Staff
from router.changes import (
    LONGEST_TEXT,
    Names,
    check_budget,
    check_name,
    check_new_tenant,
    check_not_declared,
    check_tenant_changes,
    check_text,
    settings_of,
    shown_amount,
)
from router.config.money import Budget
from router.config.schema import Config
from router.setup import Setup
from router.web.admin import Caller, Reason, admin_route, joined

_HERE, _THERE = "database", "configuration"


class TenantChanges(BaseModel):
    """What is to be different. `routes` and `models` null: everything."""

    model_config = ConfigDict(extra="forbid")
    routes: list[str] | None = None
    models: list[str] | None = None
    refused_models: list[str] | None = None


class NewTenant(BaseModel):
    """A tenant to make. Without `routes` and `models` it may use everything."""

    model_config = ConfigDict(extra="forbid")
    name: str
    routes: list[str] | None = None
    models: list[str] | None = None
    refused_models: list[str] = []


def tenant_pages(
    operators: Operators, store: TenantStore, setup: Callable[[], Setup], config: Callable[[], Config]
) -> APIRouter:
    """`setup` and `config` give what is in force."""
    look = APIRouter(prefix="/admin/v1/tenants", route_class=admin_route(operators, "viewer", scoped=True))
    approve = APIRouter(prefix="/admin/v1/tenants", route_class=admin_route(operators, "approver"))

    @look.get("", summary="Tenants of the configuration and of the database")
    async def list_tenants(staff: Caller) -> dict[str, Any]:
        stored = {tenant.name: _shown(tenant) for tenant in await store.list()}
        declared = {name: _declared(name, config()) for name in config().tenants}
        return {"data": [shown for name, shown in sorted({**stored, **declared}.items()) if staff.sees(name)]}

    @approve.post("", summary="Make a tenant", status_code=201)
    async def create_tenant(new: NewTenant, staff: Caller, reason: Reason) -> dict[str, Any]:
        check_new_tenant(Names.of(setup()), new.name, new.routes, new.models, new.refused_models)
        made = await store.create(new.name, new.routes, new.models, new.refused_models, author=staff.author(reason))
        return _shown(made)

    @approve.patch("/{name:path}", summary="Change what a tenant may use")
    async def change_tenant(name: str, changes: TenantChanges, staff: Caller, reason: Reason) -> dict[str, Any]:
        check_name("name", name)
        check_not_declared("tenant", name, config().tenants)
        new = changes.model_dump(exclude_unset=True)
        check_tenant_changes(Names.of(setup()), new)
        return _shown(await store.change(name, new, author=staff.author(reason)))

    @approve.delete("/{name:path}", summary="Close a tenant: its keys are refused at once, for good")
    async def close_tenant(name: str, staff: Caller, reason: Reason) -> dict[str, Any]:
        check_name("name", name)
        check_not_declared("tenant", name, config().tenants)
        return _shown(await store.close(name, author=staff.author(reason)))

    return joined(look, approve)


def budget_pages(
    operators: Operators,
    store: BudgetStore,
    setup: Callable[[], Setup],
    config: Callable[[], Config],
    standings: Standings | None = None,
) -> APIRouter:
    """`standings` tells what is spent of each budget and what is left."""
    look = APIRouter(prefix="/admin/v1/budgets", route_class=admin_route(operators, "viewer", scoped=True))
    approve = APIRouter(prefix="/admin/v1/budgets", route_class=admin_route(operators, "approver", scoped=True))

    @look.get("", summary="Budgets of the configuration and of the database, and what is left of them")
    async def list_budgets(staff: Caller) -> dict[str, Any]:
        declared = {name: settings_of(budget) for name, budget in config().budgets.items()}
        stored = {budget.name: dict(budget.settings) for budget in await store.list()}
        accounts = await _accounts(standings, staff)
        return {
            "data": [
                {
                    "name": name,
                    "from": _THERE if name in declared else _HERE,
                    **settings,
                    "accounts": None if accounts is None else accounts.get(name, []),
                }
                for name, settings in sorted({**stored, **declared}.items())
                if staff.sees(str(settings.get("tenant", "")))
            ]
        }

    @approve.put("/{name:path}", summary="Make a budget, or put another in its place")
    async def set_budget(name: str, budget: Budget, staff: Caller, reason: Reason) -> dict[str, Any]:
        _require_not_declared(name, staff, config())
        if staff.tenant and budget.tenant is None:
            raise InvalidRequest(f"Say that it is of 'tenant': '{staff.tenant}'.", param="tenant")
        staff.own(budget.tenant)
        settings = check_budget(Names.of(setup(), staff.tenant), name, budget)
        made = await store.set(name, settings, author=staff.author(reason), tenant=staff.tenant)
        return {"name": name, "from": _HERE, **made.settings, "changed_at": made.changed_at.isoformat()}

    @approve.delete("/{name:path}", summary="Remove a budget")
    async def remove_budget(name: str, staff: Caller, reason: Reason) -> dict[str, Any]:
        check_name("name", name)
        _require_not_declared(name, staff, config())
        if not await store.remove(name, author=staff.author(reason), tenant=staff.tenant):
            raise _no_budget(name)
        return {"name": name, "removed": True}

    return joined(look, approve)


def audit_pages(operators: Operators, history: ChangeHistory) -> APIRouter:
    """`/admin/v1/audit`: who changed what."""
    pages = APIRouter(prefix="/admin/v1/audit", route_class=admin_route(operators, "viewer"))

    @pages.get("", summary="Changes to tenants, keys and budgets, oldest first")
    async def list_changes(
        subject: Annotated[str | None, Query(description="A key's id, a tenant or a budget.")] = None,
        since: datetime | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    ) -> dict[str, Any]:
        if since is not None and since.tzinfo is None:
            since = since.replace(tzinfo=UTC)
        check_text("subject", subject or "", LONGEST_TEXT)
        found = await history.list(subject=subject, since=since, most=limit)
        return {"data": [msgspec.to_builtins(entry) for entry in found]}

    return pages


def _require_not_declared(name: str, staff: Staff, config: Config) -> None:
    declared = config.budgets.get(name)
    if declared is not None and not staff.sees(declared.tenant or ""):
        raise _no_budget(name)
    check_not_declared("budget", name, config.budgets)


def _no_budget(name: str) -> NotFound:
    return NotFound(f"There is no budget '{name}' that this key may change.")


async def _accounts(standings: Standings | None, staff: Staff) -> Mapping[str, list[dict[str, Any]]] | None:
    """By budget; None where nobody can tell now. An account of another tenant is not for a tenant's staff."""
    if standings is None:
        return None
    try:
        found = await standings.standings()
    except BudgetUnavailable:
        return None
    accounts: dict[str, list[dict[str, Any]]] = {}
    for standing in found:
        if staff.sees(standing.account.get("tenant", staff.tenant)):
            accounts.setdefault(standing.budget, []).append(_account(standing))
    return accounts


def _account(standing: Standing) -> dict[str, Any]:
    return {
        "account": dict(standing.account),
        **{
            name: shown_amount(standing.measure, getattr(standing, name))
            for name in ("spent", "held", "left", "limit")
        },
        "resets_at": standing.resets_at.isoformat() if standing.resets_at else None,
    }


def _shown(tenant: Tenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "from": _HERE,
        "routes": sorted(tenant.routes) if tenant.routes is not None else None,
        "models": sorted(tenant.models) if tenant.models is not None else None,
        "refused_models": sorted(tenant.refused_models),
        "created_at": tenant.created_at.isoformat(),
        "closed_at": tenant.closed_at.isoformat() if tenant.closed_at else None,
    }


def _declared(name: str, config: Config) -> dict[str, Any]:
    tenant = config.tenants[name]
    return {
        "name": name,
        "from": _THERE,
        "routes": sorted(tenant.routes) if tenant.routes is not None else None,
        "models": sorted(tenant.models) if tenant.models is not None else None,
        "refused_models": sorted(tenant.refused_models),
        "created_at": None,
        "closed_at": None,
    }
