"""An OpenAI-compatible server whose models do what their names say, faults included.

It listens on a real socket and breaks real connections, so what is tested against it has met the wire. The
behaviours are listed in `scripted_behaviours`; this file carries them out.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

import orjson
from aiohttp import web

from contracts.sse import DONE, event
from router.upstreams.scripted_answers import Reply, reply
from router.upstreams.scripted_behaviours import BEHAVIOURS, Script, script
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_shapes import chunks, embeddings, whole

_TOKENS_BEFORE_FAULT = 3
_SETTLE_S = 0.02
"""Pause before a connection is broken, so that what was sent has been read and the fault is the same each time."""
_MAX_BODY = 64 * 1024 * 1024
_NAMES_COUNTED = 10_000
_WRONG_SHAPE = (AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What a request of the wrong shape makes of plain dictionary code."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScriptedServer:
    """Serves one `knowledge` on `host`:`port` (0: any free one) to those who send `token` (None: to all)."""

    def __init__(
        self, knowledge: Knowledge, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> None:
        self._knowledge = knowledge
        self._host = host
        self._port = port
        self._token = token
        self._calls: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """Up to and with /v1. The port is known once the server has started."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    @property
    def calls(self) -> Mapping[str, int]:
        """Calls so far, by model."""
        return self._calls

    def upcoming(self, model: str) -> Script:
        """What `model` will do at its next call."""
        return script(model, self._calls[model])

    def count(self, model: str) -> None:
        """Note one call. Names are bounded, since any caller can make them up."""
        if model in self._calls or len(self._calls) < _NAMES_COUNTED:
            self._calls[model] += 1

    async def start(self) -> None:
        """Listen. Raises OSError where the address is taken."""
        app = web.Application(client_max_size=_MAX_BODY, middlewares=[self._guarded])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/scripted/calls", self._counted)
        # A caller that hangs up ends its handler; on shutdown nobody waits for the ones that stall on purpose.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        await self._runner.setup()
        try:
            listener = socket.create_server(
                (self._host, self._port), family=socket.AF_INET6 if ":" in self._host else socket.AF_INET
            )
        except OSError:
            await self.close()
            raise
        self._port = listener.getsockname()[1]
        await web.SockSite(self._runner, listener, backlog=2048).start()

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if self._token is not None and not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
            return _error(401, "Incorrect API key provided.", code="invalid_api_key")
        try:
            return await handler(request)
        except _WRONG_SHAPE as error:
            return _error(400, f"The request does not have the right shape: {type(error).__name__}.")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, chat=True)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._complete(request, chat=False)

    async def _complete(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        body, does = await self._received(request)
        refusal = await self._before_headers(request, does, body)
        if refusal is not None:
            return refusal
        said = reply(does, body, self._knowledge)
        if body.get("stream"):
            return await self._stream(request, does, said, chat)
        return await self._whole(request, does, whole(said, chat))

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        body, does = await self._received(request)
        refusal = await self._before_headers(request, does, body)
        if refusal is not None:
            return refusal
        return await self._whole(request, does, embeddings(does, body))

    async def _models(self, _: web.Request) -> web.StreamResponse:
        listed = [{"id": b.name, "object": "model", "created": 0, "owned_by": "weir"} for b in BEHAVIOURS]
        return _json({"object": "list", "data": listed})

    async def _counted(self, _: web.Request) -> web.StreamResponse:
        return _json({"calls": self._calls, "total": self._calls.total()})

    async def _received(self, request: web.Request) -> tuple[Mapping[str, Any], Script]:
        """The request's body and what its model does this time."""
        body: dict[str, Any] = orjson.loads(await request.read())
        model = body["model"]
        does = self.upcoming(model)
        self.count(model)
        return body, does

    async def _before_headers(
        self, request: web.Request, does: Script, body: Mapping[str, Any]
    ) -> web.StreamResponse | None:
        """Whatever happens instead of an answer, or None where one is to be given."""
        if does.headers_after_s:
            await asyncio.sleep(does.headers_after_s)
        if does.status != 200:
            waiting = {} if does.retry_after is None else {"Retry-After": does.retry_after}
            return _error(does.status, f"Scripted status {does.status}.", headers=waiting)
        if does.fault in ("reset", "refused"):
            _reset(request)
        if does.fault == "stall":
            await _forever()
        if does.fault == "empty":
            kind = "text/event-stream" if body.get("stream") else "application/json"
            return web.Response(body=b"", content_type=kind)
        if does.fault == "wrong-type":
            return web.Response(text="<!doctype html><title>Scripted page</title>", content_type="text/html")
        return None

    async def _whole(self, request: web.Request, does: Script, answer: Mapping[str, Any]) -> web.StreamResponse:
        if does.fault == "error-mid-stream":
            return _error(500, "Scripted fault.")
        data = orjson.dumps(answer)
        half = data[: len(data) // 2]
        if does.fault in ("malformed", "malformed-stream"):
            return web.Response(body=half, content_type="application/json")
        if does.fault not in ("reset-after-headers", "cut-mid-stream", "stall-mid-stream"):
            return web.Response(body=data, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(data)
        await response.prepare(request)
        if does.fault == "reset-after-headers":
            await asyncio.sleep(_SETTLE_S)
            _reset(request)
        await response.write(half)
        return await _break_off(request, does)

    async def _stream(self, request: web.Request, does: Script, said: Reply, chat: bool) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        if does.fault == "reset-after-headers":
            await asyncio.sleep(_SETTLE_S)
            _reset(request)
        if does.fault == "malformed":
            await response.write(event(b'{"id":"chatcmpl-broken","choices":[{"ind'))
            return response
        await self._write_events(request, response, does, map(orjson.dumps, chunks(said, chat)), said.n)
        if does.done and does.fault == "none":
            await response.write(event(DONE))
        return response

    async def _write_events(
        self, request: web.Request, response: web.StreamResponse, does: Script, events: Iterable[bytes], n: int
    ) -> None:
        """Send `events` (of `n` choices each), and what goes wrong among them."""
        broken = "mid-stream" in does.fault or does.fault == "malformed-stream"
        fault_at = n * (1 + _TOKENS_BEFORE_FAULT) if broken else -1
        for number, data in enumerate(events):
            if number == fault_at:
                break
            if does.token_gap_s and number:
                await asyncio.sleep(does.token_gap_s)
            await response.write(event(data))
        if does.fault == "error-mid-stream":
            await response.write(event(orjson.dumps(_error_body("Scripted fault.", 500))))
        elif does.fault == "malformed-stream":
            await response.write(event(b'{"id":"chatcmpl-broken","choices":[{"ind'))
        elif broken:
            await _break_off(request, does)


def _json(data: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(data), status=status, headers=headers, content_type="application/json")


def _error_body(message: str, status: int, code: str | None = None) -> Mapping[str, Any]:
    kinds = {429: "rate_limit_error", 401: "authentication_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    param = "messages" if status == 400 else None
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _error(
    status: int, message: str, *, code: str | None = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    return _json(_error_body(message, status, code), status, headers)


async def _break_off(request: web.Request, does: Script) -> NoReturn:
    if does.fault == "stall-mid-stream":
        await _forever()
    await asyncio.sleep(_SETTLE_S)
    if request.transport is not None:
        request.transport.close()
    raise asyncio.CancelledError


def _reset(request: web.Request) -> NoReturn:
    """Close the connection with RST: lingering for zero seconds throws away what is unsent instead of a FIN."""
    transport = request.transport
    if transport is not None:
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise asyncio.CancelledError


async def _forever() -> NoReturn:
    await asyncio.Event().wait()
    raise asyncio.CancelledError
