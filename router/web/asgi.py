"""Small pieces of plain ASGI that the hot endpoints share. https://asgi.readthedocs.io/en/latest/specs/www.html"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from contracts.errors import RequestTooLarge
from router.web import errors

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON = b"application/json"


class ClientLeft(Exception):
    """The client hung up before it had sent its request."""


def headers_in(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def headers_out(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]


async def body_in(receive: Receive, headers: Mapping[str, str], most: int) -> bytes:
    """The request's body. Raises RequestTooLarge beyond `most` bytes, ClientLeft where it never came."""
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise RequestTooLarge(f"The request body may have {most} bytes at most.")
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and message["type"] == "http.request" and len(body) <= most:
        return body
    parts = [body]
    size = len(body)
    while message["type"] == "http.request" and message.get("more_body", False):
        if size > most:
            raise RequestTooLarge(f"The request body may have {most} bytes at most.")
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if message["type"] != "http.request":
        raise ClientLeft
    if size > most:
        raise RequestTooLarge(f"The request body may have {most} bytes at most.")
    return b"".join(parts)


async def send_json(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    length = str(len(body)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", JSON), (b"content-length", length), *headers_out(headers)],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: BaseException, headers: Mapping[str, str]) -> None:
    """`error` as an OpenAI error body; a 413 closes the connection, since the rest of the body was not read."""
    status = errors.status_of(error)
    extra = {**errors.headers_of(error), **headers}
    if status == 413:
        extra["connection"] = "close"
    await send_json(send, status, orjson.dumps(errors.body_of(error)), extra)
