"""What the soak sends: kinds of requests, the answers that each may get, and clients that count them.

The clients speak HTTP over bare protocols with httptools, the parser that Weir's own server uses, so that they
leave most of the machine to Weir. Each kind that reaches a model has a route of its own, under its own name: the
ledger's sums by route can then be held against what the clients counted, kind by kind.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import httptools

LEFT = "left"
"""The outcome for a client that did not wait for the end."""

_CHAT = "POST /v1/chat/completions"
_TAIL_BYTES = 2048
_PIECES_BEFORE_LEAVING = 6
_LEAVES_AFTER_S = 0.05
_PATIENCE_S = 30
_CODE = re.compile(rb'"code": ?"(\w+)"')


@dataclass(frozen=True)
class Kind:
    """Requests that are alike, as a share (relative to the others') of all.

    `models`, of the upstreams, stand behind its route in this order; a kind without one leaves no usage event.
    `texts` is how many different texts it asks (0: no two are alike), `padding` how many bytes are put before them.
    """

    name: str
    share: float
    expected: tuple[str, ...] = ("200",)
    models: tuple[str, ...] = ()
    attempts: tuple[tuple[str, float], ...] = ()
    stream: bool = False
    texts: int = 0
    padding: int = 0
    leaves: Literal["", "mid-stream", "early"] = ""
    to: str = _CHAT
    key: Literal["tenant", "admin", "wrong"] = "tenant"
    body: bytes | None = None
    announces: int = 0
    """A Content-Length of which nothing is sent."""

    @property
    def certain(self) -> bool:
        """Whether each leaves exactly one usage event; one who leaves early may not have been let in yet."""
        return self.leaves != "early"

    def text(self) -> str:
        what = secrets.token_hex(8) if not self.texts else f"number {random.randrange(self.texts)}"
        return f"{'x' * self.padding}What about order {what}?"

    def content(self) -> bytes:
        """The request's body."""
        if self.body is not None:
            return self.body
        chat = "chat" in self.to
        request: dict[str, Any] = {"model": self.name}
        request["messages" if chat else "input"] = (
            [{"role": "user", "content": self.text()}] if chat else self.text()
        )
        return json.dumps(request | ({"stream": True} if self.stream else {})).encode()


_MOCK = ("mock",)
_ONCE = (("retries", 0),)
_SOON = (("backoff_seconds", 0.02),)
_UNKNOWN_REQUEST = f"GET /v1/decisions/req_{'0' * 32}"

KINDS: tuple[Kind, ...] = (
    Kind("cached", 30, models=_MOCK, texts=50),
    Kind("uncached", 30, models=_MOCK),
    Kind("cached-stream", 5, models=_MOCK, texts=50, stream=True),
    Kind("stream", 8, models=_MOCK, stream=True),
    Kind("large-body", 0.5, models=_MOCK, padding=200_000),
    Kind("embedding", 1, models=("embedder",), to="POST /v1/embeddings"),
    Kind("stream-cut-by-client", 5, (LEFT, "200"), models=_MOCK, stream=True, leaves="mid-stream"),
    Kind("client-leaves-early", 1, (LEFT,), models=("slow-200",), attempts=_ONCE, leaves="early"),
    Kind("upstream-500", 2, ("502 upstream_server_error",), models=("error-500",), attempts=_SOON),
    Kind("upstream-500-then-another", 2, models=("error-500", "mock"), attempts=_ONCE),
    Kind(
        "upstream-429",
        1,
        ("429 upstream_rate_limited", "503 upstream_resting"),
        models=("rate-limited-1",),
        attempts=_ONCE,
    ),
    Kind("upstream-resets", 1, ("502 upstream_reset",), models=("reset",), attempts=_SOON),
    Kind("upstream-malformed", 2, ("502 upstream_malformed",), models=("malformed",), attempts=_SOON),
    Kind("upstream-cuts-stream", 2, ("200, then upstream_cut",), models=("cut-mid-stream",), stream=True),
    Kind("upstream-slow", 0.5, models=("slow-200",)),
    Kind(
        "upstream-stalls",
        0.2,
        ("504 upstream_slow",),
        models=("stall",),
        attempts=(*_ONCE, ("attempt_seconds", 0.5)),
    ),
    Kind("upstream-without-usage", 1, models=("no-usage",)),
    Kind("wrong-key", 2, ("401 invalid_api_key",), key="wrong"),
    Kind("invalid-json", 2, ("400 invalid_request",), body=b'{"model": "auto", "messages": [{'),
    Kind("unknown-model", 2, ("404 model_not_found",)),
    Kind("too-large", 0.5, ("413 request_too_large",), announces=2_000_000),
    Kind("models", 0.5, to="GET /v1/models"),
    Kind("decision", 0.2, ("404 not_found",), to=_UNKNOWN_REQUEST),
    Kind("metrics", 0.1, to="GET /metrics", key="admin"),
)
"""Those without models name a route that Weir does not have; only `unknown-model` gets so far as to be told."""


def outcome(status: int, ending: bytes, *, stream: bool) -> str:
    """In words: the status, with the error's code where there is one, also of an error inside a stream."""
    if status == 200 and (not stream or ending.endswith(b"data: [DONE]\n\n")):
        return "200"
    code = _CODE.findall(ending)
    named = code[-1].decode() if code else "nothing"
    return f"200, then {named}" if status == 200 else f"{status} {named}"


class Connection(asyncio.Protocol):
    """One keep-alive connection, with one request at a time."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._said: asyncio.Future[str] | None = None
        self.open = False

    async def ask(self, request: bytes, kind: Kind) -> str:
        """The outcome of one request."""
        loop = asyncio.get_running_loop()
        self._kind, self._ending, self._said = kind, b"", loop.create_future()
        self._pieces = random.randint(1, _PIECES_BEFORE_LEAVING) if kind.leaves == "mid-stream" else -1
        self._transport.write(request)
        if kind.leaves == "early":
            loop.call_later(_LEAVES_AFTER_S, self._leave)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._said
        except TimeoutError:
            self.close()
            return "no answer"

    def close(self) -> None:
        self.open = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _: Exception | None) -> None:
        self.open = False
        self._say("connection lost")
        del self._parser  # which holds this object, as this object holds it

    def on_body(self, body: bytes) -> None:
        """httptools: a part of the body."""
        self._ending = (self._ending + body)[-_TAIL_BYTES:]
        self._pieces -= 1
        if self._pieces == 0:
            self._leave()

    def on_message_complete(self) -> None:
        """httptools: the end of the body."""
        self.open = self.open and self._parser.should_keep_alive()
        self._say(outcome(self._parser.get_status_code(), self._ending, stream=self._kind.stream))

    def _leave(self) -> None:
        self._say(LEFT)
        self.close()

    def _say(self, result: str) -> None:
        if self._said is not None and not self._said.done():
            self._said.set_result(result)


class Traffic:
    """Clients that send a mixture of `kinds` to `url`. `keys` has the secret for each kind's `key`.

    `counts` are the answers so far by kind and outcome, `done` is their number.
    """

    def __init__(self, url: str, keys: dict[str, str], kinds: Sequence[Kind] = KINDS) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._keys = keys
        self._kinds = kinds
        self._shares = list(accumulate(kind.share for kind in kinds))
        self.counts: Counter[tuple[str, str]] = Counter()
        self.done = 0

    async def run(self, seconds: float, clients: int) -> None:
        """Have `clients` send one request after the other for `seconds`, each at least one."""
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(until))

    async def _client(self, until: float) -> None:
        connection = await self._connect()
        while True:
            (kind,) = random.choices(self._kinds, cum_weights=self._shares)
            result = await connection.ask(self._request(kind), kind)
            self.counts[kind.name, result] += 1
            self.done += 1
            if asyncio.get_running_loop().time() >= until:
                break
            if not connection.open:
                connection.close()
                connection = await self._connect()
        connection.close()

    async def _connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        return connection

    def _request(self, kind: Kind) -> bytes:
        body = b"" if kind.to.startswith("GET") or kind.announces else kind.content()
        head = (
            f"{kind.to} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\nauthorization: Bearer {self._keys[kind.key]}"
            f"\r\ncontent-type: application/json\r\ncontent-length: {kind.announces or len(body)}\r\n\r\n"
        )
        return head.encode() + body
