"""Whatever goes wrong on a page, the client gets OpenAI's error object; and hot paths never reach FastAPI."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, HTTPException
from pydantic import BaseModel

from contracts.errors import AccessDenied, KeyMissing, Overloaded
from router.web.app import Front, pages_app
from tests.router.web.wire import Wire


class Wish(BaseModel):
    number: int


FAULTS: dict[str, Exception] = {
    "missing": KeyMissing("Send a key."),
    "denied": AccessDenied("Not for you."),
    "busy": Overloaded("Later.", retry_after_s=3),
    "odd": HTTPException(418, "A teapot."),
}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    pages = APIRouter()

    @pages.get("/good")
    async def good() -> dict[str, str]:
        return {"status": "good"}

    @pages.get("/bad/{name}")
    async def bad(name: str) -> None:
        raise FAULTS[name]

    @pages.post("/wishes")
    async def wish(wish: Wish, urgency: int = 0) -> int:
        return wish.number + urgency

    return pages_app([pages])


async def get(app: Any, path: str) -> Wire:
    return await Wire(path=path, method="GET").through(app)


async def test_a_page_that_works_works(app: FastAPI) -> None:
    wire = await get(app, "/good")
    assert (wire.status, wire.json) == (200, {"status": "good"})


@pytest.mark.parametrize(
    ("name", "status", "kind", "code"),
    [
        ("missing", 401, "authentication_error", "key_missing"),
        ("denied", 403, "permission_error", "access_denied"),
        ("busy", 503, "server_error", "overloaded"),
        ("odd", 400, "invalid_request_error", "invalid_request"),
    ],
)
async def test_an_error_has_openais_shape(app: FastAPI, name: str, status: int, kind: str, code: str) -> None:
    wire = await get(app, f"/bad/{name}")
    assert wire.status == status
    assert (wire.error["type"], wire.error["code"], wire.error["param"]) == (kind, code, None)


async def test_an_error_keeps_its_headers(app: FastAPI) -> None:
    assert (await get(app, "/bad/missing")).headers["www-authenticate"] == "Bearer"
    assert (await get(app, "/bad/busy")).headers["retry-after"] == "3"


async def test_an_unknown_path_is_named(app: FastAPI) -> None:
    wire = await get(app, "/nothing/here")
    assert (wire.status, wire.error["code"]) == (404, "unknown_path")
    assert "/nothing/here" in wire.error["message"]


async def test_a_wrong_method_is_told_the_right_one(app: FastAPI) -> None:
    wire = await Wire(path="/good", method="POST").through(app)
    assert (wire.status, wire.error["code"], wire.headers["allow"]) == (405, "method_not_allowed", "GET")
    assert "POST" in wire.error["message"]


async def test_a_fault_of_our_own_says_nothing_of_itself(app: FastAPI) -> None:
    """It is raised again once the reply is sent, so that the server logs it."""
    wire = Wire(path="/bad/unheard", method="GET")
    with pytest.raises(KeyError, match="unheard"):
        await wire.through(app)
    assert (wire.status, wire.error["code"]) == (500, "internal_error")
    assert b"unheard" not in wire.body


@pytest.mark.parametrize(
    ("body", "param"),
    [(b'{"number": "x"}', "number"), (b"{}", "number"), (b"{", None), (b"", None), (b"[]", None)],
)
async def test_a_wrong_body_is_told_what_is_wrong_with_it(app: FastAPI, body: bytes, param: str | None) -> None:
    wire = await Wire(body, path="/wishes", content_type="application/json").through(app)
    assert (wire.status, wire.error["type"]) == (400, "invalid_request_error")
    assert wire.error["param"] == param
    assert "''" not in wire.error["message"]
    assert wire.error["message"].endswith(".")


async def test_so_is_a_wrong_parameter(app: FastAPI) -> None:
    wire = Wire(b'{"number": 1}', path="/wishes", content_type="application/json")
    wire.scope["query_string"] = b"urgency=high"
    await wire.through(app)
    assert (wire.status, wire.error["param"]) == (400, "urgency")


async def test_hot_paths_go_to_their_endpoint_and_the_rest_to_the_pages(app: FastAPI) -> None:
    async def hot(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    front = Front({"/v1/chat/completions": hot}, app)  # type: ignore[dict-item]
    assert (await get(front, "/v1/chat/completions")).status == 299
    assert (await get(front, "/good")).status == 200
    assert (await get(front, "/v1/chat/completions/")).status == 404


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
async def test_fastapis_own_pages_are_not_there(app: FastAPI, path: str) -> None:
    assert (await get(app, path)).status == 404
