"""Any server that speaks OpenAI's protocol over HTTP, reached directly.

One pool of connections for the upstream's whole life; what does not change between calls (request lines, headers,
limits) is rendered once. Answers are passed on as the bytes that came. POSTs are never repeated here, not even on a
kept-alive connection that the server had already closed: whether to try again is the attempt policy's choice.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from contracts.errors import ConnectionRefused, MalformedAnswer, StreamCut, UpstreamFailure
from contracts.ports import UpstreamCall, WholeAnswer
from contracts.records import Endpoint
from contracts.sse import DONE, EventBuffer
from router.upstreams.dialling import Dialler, Origin
from router.upstreams.failures import error_object, of_answer, of_exception, redacted
from router.upstreams.http1 import Connection, NotHTTP, head
from router.upstreams.inflated import Body, plain
from router.upstreams.pool import Pool

_ANSWER_LIST: Mapping[Endpoint, str] = {
    "chat/completions": "choices",
    "completions": "choices",
    "embeddings": "data",
}
_PROBE_S = 5.0
_LINGER_S = 0.05
"""How long a finished stream's last bytes may take before its connection is given up instead of reused."""
_ERROR_BODY_BYTES = 64 * 1024
_SECRET_LENGTH = 8
"""Shorter header values are words such as `true`, which must not be cut out of messages."""
_FAULTS = (OSError, NotHTTP)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_FOR_EACH_CALL = frozenset({"content-length", "transfer-encoding", "x-request-id"})
"""Headers that no configuration can know."""
_URL_SAFE = "/%:@!$&'()*+,;=~?"


class OpenAIUpstream:
    """The port `contracts.ports.Upstream` over HTTP.

    `base_url` goes up to and with /v1. `headers` are sent with every request, and so is `api_key` as a bearer
    token. At most `max_connections` are open at a time; a call that finds none waits within its own time.
    `health` is a path that says whether it is well; None: its list of models.
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
        health: str | None = None,
    ) -> None:
        base = urlsplit(base_url)
        try:
            self._origin = Origin.of(base)
        except ValueError as error:
            raise ValueError(f"upstream '{name}': base_url {error}") from error
        self.name = name
        sent = _headers(self._origin, api_key, headers or {})
        if not all(map(_HEADER_NAME.fullmatch, sent)) or not all(value.isprintable() for value in sent.values()):
            raise ValueError(f"upstream '{name}': its key or a header has a line break or other control character")
        path, query = quote(base.path.rstrip("/"), _URL_SAFE), quote(base.query, _URL_SAFE)
        target = f"{path}/{{}}?{query}" if query else f"{path}/{{}}"
        self._heads: Mapping[Endpoint, bytes] = {
            endpoint: head("POST", target.format(endpoint), sent) for endpoint in _ANSWER_LIST
        }
        self._probe_head = head("GET", health or target.format("models"), sent) + b"\r\n"
        self._secrets = tuple(
            secret for secret in (api_key, *(headers or {}).values()) if secret and len(secret) >= _SECRET_LENGTH
        )
        self._max_connections = max_connections
        self._connect_s = connect_s
        self._max_answer_bytes = max_answer_bytes
        self._pool: Pool | None = None
        self._closed = False

    @property
    def connections(self) -> int:
        """Open ones, in use and kept."""
        return 0 if self._pool is None else len(self._pool)

    async def start(self) -> None:
        """Make the pool. Nothing is sent: an upstream that is down now may be up later."""
        self._ready()

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        pool = self._ready()
        connection = await self._post(pool, call)
        try:
            if connection.status >= 300:
                raise await self._refused(connection)
            body = await _bounded(connection, self._max_answer_bytes)
            if body is None:
                raise self._too_large(connection)
            return WholeAnswer(body=body, data=self._checked(call.endpoint, connection, body))
        except _FAULTS as error:
            raise of_exception(error, began=connection.began) from error
        finally:
            pool.release(connection)

    async def open(self, call: UpstreamCall) -> EventStream:
        pool = self._ready()
        connection = await self._post(pool, call)
        stream: EventStream | None = None
        try:
            if connection.status >= 300:
                raise await self._refused(connection)
            if not _is(connection, b"text/event-stream"):
                raise await self._no_stream(connection)
            stream = EventStream(pool, connection, stall_s=call.stall_s)
        except _FAULTS as error:
            raise of_exception(error, began=connection.began) from error
        finally:
            if stream is None:
                pool.release(connection)
        return stream

    async def probe(self) -> None:
        """Ask whether it is well. A server that has no such page but answers is well enough."""
        pool = self._ready()
        connection = await self._ask(pool, self._probe_head, b"", self._connect_s + _PROBE_S)
        try:
            if connection.status >= 300 and connection.status not in (404, 405):
                raise await self._refused(connection)
            await _bounded(connection, self._max_answer_bytes)
        except _FAULTS as error:
            raise of_exception(error, began=connection.began) from error
        finally:
            pool.release(connection)

    async def close(self) -> None:
        self._closed = True
        if self._pool is not None:
            await self._pool.close()

    def _ready(self) -> Pool:
        if self._closed:
            raise ConnectionRefused("The model's server is no longer in use.", detail=f"{self.name} was closed")
        if self._pool is None:
            self._pool = Pool(Dialler(self._origin, self._connect_s), self._max_connections)
        return self._pool

    def _post(self, pool: Pool, call: UpstreamCall) -> Coroutine[Any, Any, Connection]:
        body = orjson.dumps(call.body)
        rendered = b"%bcontent-length: %d\r\nx-request-id: %b\r\n\r\n" % (
            self._heads[call.endpoint],
            len(body),
            call.request_id.encode(),
        )
        return self._ask(pool, rendered, body, call.first_byte_s)

    async def _ask(self, pool: Pool, request_head: bytes, body: bytes, within_s: float) -> Connection:
        due = asyncio.get_running_loop().time() + within_s
        try:
            return await pool.ask(request_head, body, due)
        except _FAULTS as error:
            raise of_exception(error, began=False) from error

    async def _refused(self, connection: Connection) -> UpstreamFailure:
        """What an error status stands for; it counts even where its body cannot be read."""
        try:
            body = await _bounded(connection, _ERROR_BODY_BYTES) or b""
        except _FAULTS:
            body = b""
        return self._reported(connection, body)

    async def _no_stream(self, connection: Connection) -> UpstreamFailure:
        """What was sent instead of a stream may say what went wrong."""
        body = await _bounded(connection, _ERROR_BODY_BYTES) or b""
        if error_object(body) is not None:
            return self._reported(connection, body)
        return self._malformed("The model's server sent something other than a stream.", connection, body)

    def _checked(self, endpoint: Endpoint, connection: Connection, body: bytes) -> Mapping[str, Any]:
        """`body` parsed, once it is known to have the endpoint's shape."""
        if not body:
            raise MalformedAnswer("The model's answer was empty.", status=connection.status)
        if not _is(connection, b"application/json"):
            raise self._malformed("The model's server sent something other than JSON.", connection, body)
        try:
            data = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self._malformed("The model's answer was not valid JSON.", connection, body) from error
        if isinstance(data, dict):
            answers = data.get(_ANSWER_LIST[endpoint])
            if isinstance(answers, list) and set(map(type, answers)) == {dict}:
                return data
            if data.get("error"):
                raise self._reported(connection, body)
        raise self._malformed("The model's answer did not have the shape asked for.", connection, body)

    def _reported(self, connection: Connection, body: bytes) -> UpstreamFailure:
        return of_answer(connection.status, connection.headers, body, self._secrets)

    def _too_large(self, connection: Connection) -> MalformedAnswer:
        limit = f"more than {self._max_answer_bytes} bytes"
        return MalformedAnswer("The model's answer is too large.", status=connection.status, detail=limit)

    def _malformed(self, message: str, connection: Connection, body: bytes) -> MalformedAnswer:
        kind = connection.headers.get("content-type", "no content type")
        quoted = redacted(repr(body[:500]), self._secrets)
        return MalformedAnswer(message, status=connection.status, detail=f"{kind}: {quoted}")


class EventStream:
    """A streamed answer whose headers are in. Until its first event it is due when `connection` says."""

    def __init__(self, pool: Pool, connection: Connection, *, stall_s: float) -> None:
        self._pool = pool
        self._connection = connection
        self._body = _plain(connection)
        self._events = EventBuffer()
        self._stall_s = stall_s
        self._last = b""
        self._loop = asyncio.get_running_loop()
        self._ended = self._closed = False

    async def read(self) -> bytes:
        if self._closed:
            raise StreamCut("The model's answer was cut off.", detail="read after close")
        if self._ended:
            return b""
        connection = self._connection
        if self._last:
            connection.due = self._loop.time() + self._stall_s
        try:
            while chunk := await self._body.read():
                events = self._events.feed(chunk)
                if events:
                    self._last = events
                    return events
        except _FAULTS as error:
            raise of_exception(error, began=connection.began) from error
        except OverflowError as error:
            raise MalformedAnswer("The model's stream held too large an event.", detail=str(error)) from error
        return self._end()

    async def close(self) -> None:
        """Let go of the connection, into the pool where the answer was read to its end."""
        if self._closed:
            return
        self._closed = True
        if self._ended:
            return
        connection = self._connection
        try:
            if self._last.rstrip().endswith(DONE):
                connection.due = self._loop.time() + _LINGER_S
                while await connection.read():
                    pass
        except _FAULTS:
            pass  # A connection that cannot be emptied is simply not reused.
        finally:
            self._pool.release(connection)

    def _end(self) -> bytes:
        connection = self._connection
        if not connection.began:
            raise MalformedAnswer("The model's answer was empty.", status=connection.status)
        rest = self._events.rest.strip()
        if rest and rest.removeprefix(b"data:").strip() != DONE:
            raise StreamCut("The model's answer was cut off.", detail=f"unfinished event {rest[:200]!r}")
        self._ended = True
        self._pool.release(connection)
        return b""


def _headers(origin: Origin, api_key: str | None, own: Mapping[str, str]) -> dict[str, str]:
    """What goes with every request, names in lower case: the upstream's `own` headers, and the key before all."""
    sent = {
        "host": origin.authority,
        "accept": "*/*",
        # Answers come token by token or are small; decompressing them costs more than it saves.
        "accept-encoding": "identity",
        "content-type": "application/json",
    }
    sent |= {name.lower(): value for name, value in own.items() if name.lower() not in _FOR_EACH_CALL}
    if api_key:
        sent["authorization"] = f"Bearer {api_key}"
    return sent


def _is(connection: Connection, content_type: bytes) -> bool:
    """Whether the answer says it is that. One that does not say is taken for JSON, which parsing will judge."""
    stated = connection.fields.get(b"content-type", b"application/json")
    return stated == content_type or re.split(b"[;,]", stated)[0].strip().lower() == content_type


def _plain(connection: Connection) -> Body:
    encoding = connection.fields.get(b"content-encoding")
    return connection if encoding is None else plain(connection, encoding.decode("latin-1"))


async def _bounded(connection: Connection, limit: int) -> bytes | None:
    """The whole body, or None where it is larger than `limit` bytes."""
    if int(connection.fields.get(b"content-length", 0)) > limit:
        return None
    body = _plain(connection)
    chunks: list[bytes] = []
    size = 0
    while chunk := await body.read():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
