"""`/admin/v1`: keys and reload, for the admin and the staff.

The non-obvious decision: a path's role stands in the class of its route and is asked for before the body is read. A
handler gets the caller, and narrows what it does to that one's tenant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from contracts.access import KeyStore
from contracts.errors import NotFound
from contracts.records import Key, Role
from router.access import Operators, Staff
from router.changes import LONGEST_NAME, LONGEST_TEXT, Names, check_key, check_text
from router.setup import Setup


class NewKey(BaseModel):
    """A key to make. `routes` and `models` narrow what its tenant may use; a `role` makes it one of the staff."""

    model_config = ConfigDict(extra="forbid")
    tenant: str = Field(
        "", description="Whose it is. A key with a role may leave it out: it is for all that its maker is for."
    )
    name: str = Field("", description="What it is for.")
    routes: list[str] | None = None
    models: list[str] | None = None
    role: Role = ""


class AdminRoute(APIRoute):
    """Asks for the key before the body is read; a dependency would be asked after that."""

    operators: Operators
    role: Role
    scoped: bool

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_staff(request: Request) -> Response:
            request.state.staff = self.operators.require(request.headers, self.role, scoped=self.scoped)
            return await answer(request)

        return answer_staff


def admin_route(operators: Operators, role: Role = "viewer", *, scoped: bool = False) -> type[APIRoute]:
    """The class of routes that the admin may ask for, and the staff from `role` on.

    `scoped`: the staff of one tenant too. Then the handler sees to it that it gets no more than its own.
    """
    return type("AdminRoute", (AdminRoute,), {"operators": operators, "role": role, "scoped": scoped})


def _staff(request: Request) -> Staff:
    staff: Staff = request.state.staff
    return staff


def _reason(reason: Annotated[str, Query(description="Why, for the audit log.")] = "") -> str:
    check_text("reason", reason, LONGEST_TEXT)
    return reason


Caller = Annotated[Staff, Depends(_staff)]
"""What a handler of an admin route takes to know who asks."""
Reason = Annotated[str, Depends(_reason)]


def admin_pages(
    operators: Operators,
    store: KeyStore,
    setup: Callable[[], Setup],
    reload: Callable[[], Awaitable[str]],
) -> APIRouter:
    """`setup` gives what is in force; `reload` reads the configuration again and says what came of it."""
    look = APIRouter(prefix="/admin/v1", route_class=admin_route(operators, "viewer", scoped=True))
    operate = APIRouter(prefix="/admin/v1", route_class=admin_route(operators, "operator", scoped=True))
    operate_all = APIRouter(prefix="/admin/v1", route_class=admin_route(operators, "operator"))

    @look.get("/keys", summary="Keys in the database, without their secrets")
    async def list_keys(staff: Caller, tenant: str | None = None) -> dict[str, Any]:
        whose = staff.own(tenant)
        check_text("tenant", whose or "", LONGEST_NAME)
        return {"data": [_shown(key) for key in await store.list(whose)]}

    @operate.post("/keys", summary="Make a key; its secret is shown this once", status_code=201)
    async def create_key(new: NewKey, staff: Caller, reason: Reason) -> dict[str, Any]:
        if new.role:
            staff.require("approver")
        tenant = staff.own(new.tenant or None) or ""
        check_key(Names.of(setup(), staff.tenant), tenant, new.name, new.routes, new.models, new.role)
        key, secret = await store.create(
            tenant, new.name, new.routes, new.models, author=staff.author(reason), role=new.role
        )
        return {**_shown(key), "secret": secret}

    @operate.delete("/keys/{key_id:path}", summary="Revoke a key at once")
    async def revoke_key(key_id: str, staff: Caller, reason: Reason) -> dict[str, Any]:
        key = await store.find(key_id) if key_id.isprintable() else None
        if key is None or not staff.sees(key.tenant):
            raise NotFound(
                f"There is no key '{key_id}' in the database. Keys in the configuration are removed there."
            )
        if key.role:
            staff.require("approver")
        await store.revoke(key_id, author=staff.author(reason))
        return {"id": key_id, "revoked": True}

    @operate_all.post("/reload", summary="Read the configuration again now")
    async def reload_now() -> dict[str, str]:
        return {"result": await reload()}

    return joined(look, operate, operate_all)


def joined(*parts: APIRouter) -> APIRouter:
    """Routers of several roles as one."""
    pages = APIRouter()
    for part in parts:
        pages.include_router(part)
    return pages


def _shown(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "routes": sorted(key.routes) if key.routes is not None else None,
        "models": sorted(key.models) if key.models is not None else None,
        "role": key.role,
        "created_at": key.created_at.isoformat() if key.created_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
