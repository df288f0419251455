"""The scripted upstream inside Weir's own process: the server on loopback, and the way to it.

It is reached over a real connection by the same code that reaches any hosted model, behind a random token, so
that it can stand in for one without a special path anywhere.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.errors import ConnectionRefused
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.scripted_knowledge import Knowledge

if TYPE_CHECKING:
    from router.upstreams.scripted_server import ScriptedServer


@dataclass(frozen=True, slots=True)
class _Running:
    """The server, the way to it, and a way to a port that is `bound` but does not listen."""

    server: ScriptedServer
    client: OpenAIUpstream
    nowhere: OpenAIUpstream
    bound: socket.socket


class ScriptedUpstream:
    """The port `contracts.ports.Upstream`, answering from the JSONL at `knowledge_path` (None: knows nothing)."""

    def __init__(self, name: str, knowledge_path: Path | None = None) -> None:
        self.name = name
        self.token = secrets.token_urlsafe(24)
        self._knowledge_path = knowledge_path
        self._running: _Running | None = None

    @property
    def base_url(self) -> str:
        """Where the server listens, up to and with /v1. Raises ConnectionRefused before `start`."""
        return self._started().server.base_url

    @property
    def calls(self) -> Mapping[str, int]:
        """Calls so far, by model, with those that were refused."""
        return self._started().server.calls

    async def start(self) -> None:
        if self._running is not None:
            return
        from router.upstreams.scripted_server import ScriptedServer  # late: it brings a web server that few need

        try:
            knowledge = Knowledge.load(self._knowledge_path) if self._knowledge_path else Knowledge(())
            server = ScriptedServer(knowledge, token=self.token)
            await server.start()
        except (OSError, ValueError) as error:
            advice = f"The scripted upstream '{self.name}' cannot start; mend its `knowledge` file: {error}"
            raise ConnectionRefused(advice, detail=str(error)) from error
        # Bound but never listening: nobody else can take the port, so connecting to it is always refused.
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))
        nowhere = OpenAIUpstream(self.name, f"http://127.0.0.1:{bound.getsockname()[1]}/v1")
        client = OpenAIUpstream(self.name, server.base_url, self.token)
        self._running = _Running(server, client, nowhere, bound)

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        return await self._way(call).send(call)

    async def open(self, call: UpstreamCall) -> AnswerStream:
        return await self._way(call).open(call)

    async def probe(self) -> None:
        await self._started().client.probe()

    async def close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            await running.client.close()
            await running.nowhere.close()
            running.bound.close()
            await running.server.close()

    def _way(self, call: UpstreamCall) -> OpenAIUpstream:
        running = self._started()
        model = call.body.get("model")
        if isinstance(model, str) and running.server.upcoming(model).fault == "refused":
            running.server.count(model)
            return running.nowhere
        return running.client

    def _started(self) -> _Running:
        if self._running is None:
            raise ConnectionRefused("The model's server is not running.", detail=self.name)
        return self._running
