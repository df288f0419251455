"""One HTTP request as an ASGI server hands it to an application, and what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson

from router.web.asgi import Message, Scope
from tests.router.plain import SECRET


class Wire:
    """Sends `pieces` as the request's body, then waits until `hang_up`, as a server does.

    `sent` are the application's messages; `sent_some` is set with the first piece of a reply's body.
    """

    def __init__(
        self,
        *pieces: bytes,
        path: str = "/v1/chat/completions",
        method: str = "POST",
        key: str = SECRET,
        **headers: str,
    ) -> None:
        named = {"authorization": f"Bearer {key}"} if key else {}
        named |= {name.replace("_", "-"): value for name, value in headers.items()}
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.sent: list[Message] = []
        self.sent_some = asyncio.Event()
        self.unread = [
            {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
            for number, piece in enumerate(pieces or (b"",), start=1)
        ]
        self._gone = asyncio.Event()

    def hang_up(self) -> None:
        self._gone.set()

    def leave_after(self, pieces: int) -> None:
        """Hang up before the body is whole."""
        self.unread = self.unread[:pieces]
        self._gone.set()

    async def receive(self) -> Message:
        if self.unread:
            return self.unread.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        if message.get("body"):
            self.sent_some.set()

    async def through(self, app: Any) -> Wire:
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.decode().lower(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The body's error object, whose shape is checked."""
        error = self.json["error"]
        assert set(error) - {"weir"} == {"message", "type", "param", "code"}
        return dict(error)
