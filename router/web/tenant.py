"""Routes for the keys of tenants, of any kind but answers.

The non-obvious decision: key and bound stand in the class of the route. Whoever has no key is turned away before
the body is read, and a body is counted while it comes, so that no handler has to think of either.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Annotated, Any

import orjson
from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from contracts.errors import Abandoned, RequestTooLarge
from contracts.ports import Keyring
from router.access import bearer


class _Bounded(Request):
    """A request whose body has a bound, and whose JSON is that of RFC 8259: no NaN, no halves of characters."""

    most_bytes: int = 0

    async def stream(self) -> AsyncGenerator[bytes, None]:
        too_large = RequestTooLarge(f"The request body may have {self.most_bytes} bytes at most.")
        announced = self.headers.get("content-length", "")
        if announced.isdigit() and int(announced) > self.most_bytes:
            raise too_large
        size = 0
        async for piece in super().stream():
            size += len(piece)
            if size > self.most_bytes:
                raise too_large
            yield piece

    async def json(self) -> Any:
        return orjson.loads(await self.body())


class TenantRoute(APIRoute):
    """Asks for a tenant's key before the body is read; a dependency would be asked after that."""

    keys: Keyring
    most_bytes: int

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def answer_tenant(request: Request) -> Response:
            request.state.tenant = self.keys.find(bearer(request.headers)).tenant
            bounded = _Bounded(request.scope, request.receive)
            bounded.most_bytes = self.most_bytes
            try:
                if self.body_field is not None:
                    await bounded.body()  # here, since FastAPI would make one error of all that go wrong meanwhile
                return await answer(bounded)
            except ClientDisconnect:
                raise Abandoned("The client left before its request was whole.") from None

        return answer_tenant


def tenant_route(keys: Keyring, most_bytes: int) -> type[APIRoute]:
    """The class of routes for tenants. Staff and admin have no files of their own, and are refused."""
    return type("TenantRoute", (TenantRoute,), {"keys": keys, "most_bytes": most_bytes})


def _tenant(request: Request) -> str:
    tenant: str = request.state.tenant
    return tenant


Tenant = Annotated[str, Depends(_tenant)]
"""What a handler of a tenant's route takes to know who asks."""
