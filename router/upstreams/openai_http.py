"""Any server that speaks OpenAI's protocol over HTTP, reached directly.

One pooled session for the upstream's whole life; what does not change between calls (URLs, headers, limits) is
built once. Answers are passed on as the bytes that came. POSTs are never repeated here, not even on a kept-alive
connection that the server had already closed: whether to try again is the attempt policy's choice.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson
from yarl import URL

from contracts.errors import ConnectionRefused, MalformedAnswer, StreamCut
from contracts.ports import UpstreamCall, WholeAnswer
from contracts.records import Endpoint
from contracts.sse import DONE, EventBuffer
from router.upstreams.failures import error_object, of_answer, of_exception, redacted

_ANSWER_LIST: Mapping[Endpoint, str] = {
    "chat/completions": "choices",
    "completions": "choices",
    "embeddings": "data",
}
_KEEPALIVE_S = 30.0
_PROBE_S = 5.0
_LINGER_S = 0.05
"""How long a finished stream's last bytes may take before its connection is given up instead of reused."""
_ERROR_BODY_BYTES = 64 * 1024
_LARGE_BODY = 1024 * 1024
_SECRET_LENGTH = 8
"""Shorter header values are words such as `true`, which must not be cut out of messages."""
_FAULTS = (aiohttp.ClientError, OSError)


class OpenAIUpstream:
    """The port `contracts.ports.Upstream` over HTTP.

    `base_url` goes up to and with /v1. `headers` are sent with every request, and so is `api_key` as a bearer
    token. At most `max_connections` are open at a time; a call that finds none waits within its own time.
    Raises ValueError where `base_url` names no host or a header could not be sent.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        max_connections: int = 1024,
        connect_s: float = 3.0,
        *,
        max_answer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        base = URL(base_url)
        if not base.host:
            raise ValueError(f"upstream '{name}': base_url names no host")
        self.name = name
        self._urls: Mapping[Endpoint, URL] = {
            endpoint: (base / endpoint).with_query(base.query) for endpoint in _ANSWER_LIST
        }
        self._models_url = (base / "models").with_query(base.query)
        self._headers = {
            "Content-Type": "application/json",
            # Answers come token by token or are small; decompressing them costs more than it saves.
            "Accept-Encoding": "identity",
            **(headers or {}),
        }
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        if not all(value.isprintable() for value in self._headers.values()):
            raise ValueError(f"upstream '{name}': its key or a header has a line break or other control character")
        self._secrets = tuple(
            secret for secret in (api_key, *(headers or {}).values()) if secret and len(secret) >= _SECRET_LENGTH
        )
        self._max_connections = max_connections
        self._connect_s = connect_s
        self._max_answer_bytes = max_answer_bytes
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def start(self) -> None:
        """Make the session. Nothing is sent: an upstream that is down now may be up later."""
        self._ready()

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(call.first_byte_s):
                response = await self._post(call)
                await self._accepted(response)
                body = await self._whole(response)
        except _FAULTS as error:
            raise of_exception(error, began=_began(response)) from error
        finally:
            # At the end of the body the connection went back to the pool; anywhere else it must not.
            if response is not None:
                response.close()
        return WholeAnswer(body=body, data=self._checked(call.endpoint, response, body))

    async def open(self, call: UpstreamCall) -> EventStream:
        due = asyncio.get_running_loop().time() + call.first_byte_s
        response: aiohttp.ClientResponse | None = None
        stream: EventStream | None = None
        try:
            async with asyncio.timeout_at(due):
                response = await self._post(call)
                await self._accepted(response)
                await self._streamed(response)
            stream = EventStream(response, first_event_due=due, stall_s=call.stall_s)
        except _FAULTS as error:
            raise of_exception(error, began=_began(response)) from error
        finally:
            if response is not None and stream is None:
                response.close()
        return stream

    async def probe(self) -> None:
        """Ask for the list of models. A server that has no such page but answers is well enough."""
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout(self._connect_s + _PROBE_S):
                response = await self._ready().get(self._models_url, allow_redirects=False)
                if response.status not in (404, 405):
                    await self._accepted(response)
                await _bounded(response, self._max_answer_bytes)
        except _FAULTS as error:
            raise of_exception(error, began=_began(response)) from error
        finally:
            if response is not None:
                response.close()

    async def close(self) -> None:
        self._closed = True
        if self._session is not None:
            await self._session.close()

    def _ready(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConnectionRefused("The model's server is no longer in use.", detail=f"{self.name} was closed")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, keepalive_timeout=_KEEPALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s),
                skip_auto_headers=("User-Agent",),
            )
        return self._session

    async def _post(self, call: UpstreamCall) -> aiohttp.ClientResponse:
        body = orjson.dumps(call.body)
        return await self._ready().post(
            self._urls[call.endpoint],
            # aiohttp writes a file-like body in pieces, where one write of megabytes would hold up the loop.
            data=body if len(body) < _LARGE_BODY else io.BytesIO(body),
            headers={"X-Request-ID": call.request_id},
            allow_redirects=False,
        )

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        if response.content_length is not None and response.content_length > self._max_answer_bytes:
            raise self._too_large(response)
        body = await _bounded(response, self._max_answer_bytes)
        if body is None:
            raise self._too_large(response)
        return body

    def _too_large(self, response: aiohttp.ClientResponse) -> MalformedAnswer:
        return MalformedAnswer(
            "The model's answer is too large.",
            status=response.status,
            detail=f"more than {self._max_answer_bytes} bytes",
        )

    async def _accepted(self, response: aiohttp.ClientResponse) -> None:
        """Raise what an error status stands for; it counts even where its body cannot be read."""
        if response.status < 300:
            return
        try:
            body = await _bounded(response, _ERROR_BODY_BYTES) or b""
        except _FAULTS:
            body = b""
        raise of_answer(response.status, response.headers, body, self._secrets)

    async def _streamed(self, response: aiohttp.ClientResponse) -> None:
        """Raise unless the response is a stream of events. What it holds instead may say what went wrong."""
        if _is(response, "text/event-stream"):
            return
        body = await _bounded(response, _ERROR_BODY_BYTES) or b""
        if error_object(body) is not None:
            raise of_answer(response.status, response.headers, body, self._secrets)
        raise self._malformed("The model's server sent something other than a stream.", response, body)

    def _checked(self, endpoint: Endpoint, response: aiohttp.ClientResponse, body: bytes) -> Mapping[str, Any]:
        """`body` parsed, once it is known to have the endpoint's shape."""
        if not body:
            raise MalformedAnswer("The model's answer was empty.", status=response.status)
        if not _is(response, "application/json"):
            raise self._malformed("The model's server sent something other than JSON.", response, body)
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self._malformed("The model's answer was not valid JSON.", response, body) from error
        if isinstance(data, dict):
            answers = data.get(_ANSWER_LIST[endpoint])
            if isinstance(answers, list) and answers and all(isinstance(answer, dict) for answer in answers):
                return data
            if data.get("error"):
                raise of_answer(response.status, response.headers, body, self._secrets)
        raise self._malformed("The model's answer did not have the shape asked for.", response, body)

    def _malformed(self, message: str, response: aiohttp.ClientResponse, body: bytes) -> MalformedAnswer:
        kind = response.headers.get("Content-Type", "no content type")
        quoted = redacted(repr(body[:500]), self._secrets)
        return MalformedAnswer(message, status=response.status, detail=f"{kind}: {quoted}")


class EventStream:
    """A streamed answer whose headers are in. `first_event_due` is a moment of the running loop's clock."""

    def __init__(self, response: aiohttp.ClientResponse, *, first_event_due: float, stall_s: float) -> None:
        self._response = response
        self._content = response.content
        self._events = EventBuffer()
        self._stall_s = stall_s
        self._due: float | None = first_event_due
        self._last = b""
        self._loop = asyncio.get_running_loop()
        self._closed = False

    async def read(self) -> bytes:
        if self._closed:
            raise StreamCut("The model's answer was cut off.", detail="read after close")
        due = self._loop.time() + self._stall_s if self._due is None else self._due
        try:
            async with asyncio.timeout_at(due):
                while chunk := await self._content.readany():
                    events = self._events.feed(chunk)
                    if events:
                        self._due = None
                        self._last = events
                        return events
        except _FAULTS as error:
            raise of_exception(error, began=_began(self._response)) from error
        except OverflowError as error:
            raise MalformedAnswer("The model's stream held too large an event.", detail=str(error)) from error
        return self._end()

    async def close(self) -> None:
        """Let go of the connection, into the pool where the answer was read to its end."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self._content.is_eof() and self._last.rstrip().endswith(DONE):
                async with asyncio.timeout(_LINGER_S):
                    while await self._content.readany():
                        pass
        except _FAULTS:
            pass  # A connection that cannot be emptied is simply not reused.
        finally:
            self._response.close()

    def _end(self) -> bytes:
        if not _began(self._response):
            raise MalformedAnswer("The model's answer was empty.", status=self._response.status)
        rest = self._events.rest.strip()
        if rest and rest.removeprefix(b"data:").strip() != DONE:
            raise StreamCut("The model's answer was cut off.", detail=f"unfinished event {rest[:200]!r}")
        return b""


def _began(response: aiohttp.ClientResponse | None) -> bool:
    """Whether any of the answer's body has come."""
    return response is not None and response.content.total_bytes > 0


def _is(response: aiohttp.ClientResponse, content_type: str) -> bool:
    """Whether the response says it is that. One that does not say is taken for JSON, which parsing will judge."""
    stated = response.headers.get("Content-Type", "application/json")
    return stated.partition(";")[0].strip().lower() == content_type


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes | None:
    """The whole body, or None where it is larger than `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
