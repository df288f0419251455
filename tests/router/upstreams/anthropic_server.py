"""A little server that speaks Anthropic's messages protocol, whole and streamed; the model's name says how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 20,
    "cache_read_input_tokens": 30,
    "output_tokens": 5,
}
PIECES = ("Hello ", "there.")
_FAULTS = {
    "limited": (429, "rate_limit_error", "Too many requests for horse-battery-staple", {"retry-after": "7"}),
    "overloaded": (529, "overloaded_error", "Overloaded", {}),
    "rejected": (400, "invalid_request_error", "max_tokens: 9 is too many", {}),
    "locked": (401, "authentication_error", "invalid x-api-key", {}),
}


@dataclass
class AnthropicServer:
    """`seen` holds the headers and body of each request."""

    url: str = ""
    seen: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append(({name.lower(): value for name, value in request.headers.items()}, body))
        model = body["model"]
        if model in _FAULTS:
            status, kind, message, headers = _FAULTS[model]
            error = {"type": "error", "error": {"type": kind, "message": message}}
            return web.json_response(error, status=status, headers=headers)
        if model == "page":
            return web.Response(text="<html>horse-battery-staple</html>", content_type="text/html")
        if model == "slow":
            await asyncio.sleep(30)
        if body.get("stream"):
            return await self._stream(request, model)
        content: list[dict[str, Any]] = [{"type": "text", "text": "".join(PIECES)}]
        if body.get("tools"):
            content = [{"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {"order": 7}}]
        return web.json_response({**_message(model), "content": content, "stop_reason": "end_turn", "usage": USAGE})

    async def _stream(self, request: web.Request, model: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)

        async def send(kind: str, **fields: Any) -> None:
            payload = orjson.dumps({"type": kind, **fields}).decode()
            await response.write(f"event: {kind}\ndata: {payload}\n\n".encode())

        await send("message_start", message={**_message(model), "usage": {**USAGE, "output_tokens": 1}})
        if model != "mute":
            await send("content_block_start", index=0, content_block={"type": "text", "text": ""})
            await send("ping")
            for piece in PIECES:
                await send("content_block_delta", index=0, delta={"type": "text_delta", "text": piece})
                if model == "stalling":
                    await asyncio.sleep(30)
                if model == "cut" and request.transport is not None:
                    request.transport.abort()
                    return response
                if model == "failing":
                    await send("error", error={"type": "overloaded_error", "message": "Overloaded"})
                    return response
            await send("content_block_stop", index=0)
        await send("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5})
        await send("message_stop")
        return response


def _message(model: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


@asynccontextmanager
async def anthropic_server() -> AsyncIterator[AnthropicServer]:
    server = AnthropicServer()
    app = web.Application()
    app.router.add_post("/v1/messages", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
