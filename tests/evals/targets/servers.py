"""Servers for targets to ask: the scripted one, and an app of a test's own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer

HELLO = {"messages": [{"role": "user", "content": "Hello there"}]}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def scripted(token: str | None = None) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(Knowledge([]), token=token)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def serving(*routes: tuple[str, str, Handler]) -> AsyncIterator[str]:
    """The base URL of an app with these (method, path below /v1, handler)."""
    app = web.Application()
    for method, path, handler in routes:
        app.router.add_route(method, f"/v1{path}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    door = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, door).start()
    try:
        yield f"http://127.0.0.1:{door.getsockname()[1]}/v1"
    finally:
        await runner.cleanup()


def nobody() -> str:
    """A base URL where no server listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return f"http://127.0.0.1:{door.getsockname()[1]}/v1"
