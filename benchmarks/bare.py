"""The yardstick: the least that a Python proxy can do. Raw ASGI, aiohttp, uvicorn with httptools and uvloop.

    BARE_UPSTREAM=http://127.0.0.1:9000 python -m uvicorn benchmarks.bare:app --port 9001

It forwards POST bodies as they are to the same path of $BARE_UPSTREAM, and the answer back. It knows no keys, no
limits, no cache, no deadlines and no errors: what Weir costs over it is what Weir's features cost.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_UPSTREAM = os.environ.get("BARE_UPSTREAM", "")
_HEADERS = {"content-type": "application/json"}
_sessions: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    """Made with the first request, when there is a loop for it."""
    if not _sessions:
        no_limit = aiohttp.TCPConnector(limit=0)
        _sessions.append(aiohttp.ClientSession(connector=no_limit, timeout=aiohttp.ClientTimeout(total=None)))
    return _sessions[0]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    message = await receive()
    body = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    async with _session().post(_UPSTREAM + scope["path"], data=body, headers=_HEADERS) as answer:
        headers = [(b"content-type", answer.headers["content-type"].encode())]
        if "content-length" in answer.headers:
            whole = await answer.read()
            headers.append((b"content-length", str(len(whole)).encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": whole})
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
