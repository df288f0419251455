"""Bodies in one piece, in many, too large, or never coming; headers and replies as bytes."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Overloaded, RequestTooLarge, UpstreamRejected
from router.web.asgi import ClientLeft, body_in, headers_in, headers_out, send_error, send_json
from tests.router.web.wire import Wire


async def body(wire: Wire, most: int = 10) -> bytes:
    return await body_in(wire.receive, headers_in(wire.scope), most)


@pytest.mark.parametrize(
    "pieces", [(b"",), (b"0123456789",), (b"01234", b"56789"), (b"0123456789", b""), (b"", b"", b"0"), (b"0",) * 10]
)
async def test_a_body_is_put_together(pieces: tuple[bytes, ...]) -> None:
    assert await body(Wire(*pieces)) == b"".join(pieces)


@pytest.mark.parametrize("pieces", [(b"0" * 11,), (b"0" * 10, b"0"), (b"0" * 11, b""), (b"0",) * 11])
async def test_one_that_is_too_large_is_refused(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(RequestTooLarge, match="10 bytes"):
        await body(Wire(*pieces))


async def test_one_that_says_so_beforehand_is_not_read_at_all() -> None:
    wire = Wire(b"0" * 11, content_length="11")
    with pytest.raises(RequestTooLarge):
        await body(wire)
    assert len(wire.unread) == 1
    assert await body(Wire(b"0" * 10, content_length="10")) == b"0" * 10


async def test_one_that_lies_about_it_is_measured() -> None:
    for announced in ("3", "-1", "many", ""):
        with pytest.raises(RequestTooLarge):
            await body(Wire(b"0" * 11, content_length=announced))


async def test_no_more_is_read_of_one_that_has_become_too_large() -> None:
    wire = Wire(b"0" * 6, b"0" * 6, b"0" * 6, b"0" * 6)
    with pytest.raises(RequestTooLarge):
        await body(wire)
    assert len(wire.unread) == 2


@pytest.mark.parametrize("pieces", [0, 1, 2])
async def test_a_client_that_leaves_before_its_body_is_whole_has_left(pieces: int) -> None:
    wire = Wire(b"01", b"23", b"45")
    wire.leave_after(pieces)
    with pytest.raises(ClientLeft):
        await body(wire)


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=6), st.integers(0, 30))
def test_only_the_size_decides_not_how_it_was_cut(pieces: list[bytes], most: int) -> None:
    whole = b"".join(pieces)
    if len(whole) <= most:
        assert asyncio.run(body(Wire(*pieces), most)) == whole
    else:
        with pytest.raises(RequestTooLarge):
            asyncio.run(body(Wire(*pieces), most))


def test_headers_are_latin_1_and_what_is_not_does_not_break_a_reply() -> None:
    assert headers_in(Wire(key="", x_name="é").scope) == {"x-name": "é"}
    assert headers_out({"x-model": "é日"}) == [(b"x-model", b"\xe9?")]


async def test_a_reply_has_its_length_and_its_type() -> None:
    wire = Wire()
    await send_json(wire.send, 201, b'{"a":1}', {"x-more": "yes"})
    assert (wire.status, wire.body) == (201, b'{"a":1}')
    assert wire.headers == {"content-type": "application/json", "content-length": "7", "x-more": "yes"}
    assert not wire.sent[-1].get("more_body")


async def test_an_error_has_its_status_headers_and_object() -> None:
    wire = Wire()
    await send_error(wire.send, Overloaded("Later.", retry_after_s=2), {"x-weir-request-id": "req_1"})
    assert (wire.status, wire.error["code"]) == (503, "overloaded")
    assert wire.headers["retry-after"] == "2"
    assert wire.headers["x-weir-request-id"] == "req_1"
    assert "connection" not in wire.headers


@pytest.mark.parametrize("error", [RequestTooLarge("Less."), UpstreamRejected("Less.", status=413)])
async def test_a_413_ends_the_connection_since_the_rest_is_not_read(error: Exception) -> None:
    wire = Wire()
    await send_error(wire.send, error, {})
    assert wire.headers["connection"] == "close"
    assert orjson.loads(wire.body)["error"]["message"] == "Less."
