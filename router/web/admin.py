"""`/admin/v1`: keys and reload, for whoever holds the admin key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import InvalidRequest, NotFound
from contracts.ports import KeyStore
from contracts.records import DIRECT, Key
from router.access import Operators
from router.setup import Setup


class NewKey(BaseModel):
    """A key to make. `routes` and `models` narrow what its tenant may use."""

    model_config = ConfigDict(extra="forbid")
    tenant: str = Field(min_length=1, max_length=128)
    name: str = Field("", max_length=128)
    routes: list[str] | None = None
    models: list[str] | None = None


def admin_route(operators: Operators) -> type[APIRoute]:
    """The class of routes that only the admin may ask for."""

    class AdminRoute(APIRoute):
        """Asks for the key before the body is read; a dependency would be asked after that."""

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            answer = super().get_route_handler()

            async def answer_admin(request: Request) -> Response:
                operators.require_admin(request.headers)
                return await answer(request)

            return answer_admin

    return AdminRoute


def admin_pages(
    operators: Operators,
    store: KeyStore,
    setup: Callable[[], Setup],
    reload: Callable[[], Awaitable[str]],
) -> APIRouter:
    """`setup` gives what is in force; `reload` reads the configuration again and says what came of it."""

    pages = APIRouter(prefix="/admin/v1", route_class=admin_route(operators))

    @pages.get("/keys", summary="Keys in the database, without their secrets")
    async def list_keys(tenant: str | None = None) -> dict[str, Any]:
        return {"data": [_shown(key) for key in await store.list(tenant)]}

    @pages.post("/keys", summary="Make a key; its secret is shown this once", status_code=201)
    async def create_key(new: NewKey) -> dict[str, Any]:
        _check(new, setup())
        key, secret = await store.create(new.tenant, new.name, new.routes, new.models)
        return {**_shown(key), "secret": secret}

    @pages.delete("/keys/{key_id}", summary="Revoke a key at once")
    async def revoke_key(key_id: str) -> dict[str, Any]:
        if not await store.revoke(key_id):
            raise NotFound(
                f"There is no key '{key_id}' in the database. Keys in the configuration are removed there."
            )
        return {"id": key_id, "revoked": True}

    @pages.post("/reload", summary="Read the configuration again now")
    async def reload_now() -> dict[str, str]:
        return {"result": await reload()}

    return pages


def _check(new: NewKey, setup: Setup) -> None:
    """Raises InvalidRequest where `new` names what is not there."""
    if new.tenant not in setup.tenants:
        raise InvalidRequest(f"There is no tenant '{new.tenant}'.", param="tenant")
    if not new.name.isprintable():
        raise InvalidRequest("'name' must be printable text.", param="name")
    models = {name for name, plan in setup.plans.items() if plan.route == DIRECT}
    routes = setup.plans.keys() - models
    for param, named, known in (("routes", new.routes, routes), ("models", new.models, models)):
        unknown = sorted(set(named or ()) - known)
        if unknown:
            raise InvalidRequest(f"There is no {param[:-1]} '{unknown[0]}'.", param=param)


def _shown(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "routes": sorted(key.routes) if key.routes is not None else None,
        "models": sorted(key.models) if key.models is not None else None,
        "created_at": key.created_at.isoformat() if key.created_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
