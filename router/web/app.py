"""The ASGI application: hot endpoints first, everything else through FastAPI.

Nothing but health is open: every other path asks for a tenant's key, the metrics key or the admin key.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from contracts.errors import InvalidRequest, MethodNotAllowed, RequestError, UnknownPath, WeirError
from router.web import errors
from router.web.asgi import Receive, Scope, Send
from router.web.hot import ModelEndpoint


class Front:
    """Sends the hot paths to their endpoints and the rest to FastAPI."""

    def __init__(self, hot: Mapping[str, ModelEndpoint], rest: FastAPI) -> None:
        self._hot = hot
        self._rest = rest

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return (self._hot.get(scope["path"]) or self._rest)(scope, receive, send)


def pages_app(pages: Iterable[APIRouter]) -> FastAPI:
    """A FastAPI application of `pages` whose every error is an OpenAI error object."""
    app = FastAPI(title="Weir", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    for page in pages:
        app.include_router(page)

    @app.exception_handler(WeirError)
    async def weir_error(_: Request, error: WeirError) -> Response:
        return _response(error)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return _response(_translated(request, error), error.headers)

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return _response(InvalidRequest(f"The request body is not valid JSON: {first['ctx']['error']}."))
        where = ".".join(str(part) for part in first["loc"][1:])
        named = f"'{where}'" if where else "The request body"
        return _response(InvalidRequest(f"{named}: {first['msg']}.", param=where or None))

    @app.exception_handler(Exception)
    async def own_error(_: Request, error: Exception) -> Response:
        return _response(error)

    return app


def _translated(request: Request, error: HTTPException) -> WeirError:
    if error.status_code == 404:
        return UnknownPath(f"There is nothing at {request.url.path}.")
    if error.status_code == 405:
        return MethodNotAllowed(f"{request.method} does not work at {request.url.path}.")
    return RequestError(str(error.detail))


def _response(error: Exception, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse(
        errors.body_of(error),
        status_code=errors.status_of(error),
        headers={**errors.headers_of(error), **(headers or {})},
    )
