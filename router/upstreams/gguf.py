"""A small model on this machine's CPU: llama.cpp in a child process, spoken to over loopback.

A process of its own, because a model that crashes or runs out of memory must not take Weir along. When it dies,
calls fail at once, so that the attempt policy goes elsewhere, and it is started again after a pause that doubles.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
import secrets
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import orjson

from contracts.errors import ConnectionRefused, SlowUpstream, UpstreamRejected
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from router.upstreams import gguf_child
from router.upstreams.openai_http import OpenAIUpstream

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
"""A child that lived this long starts again after the shortest pause."""
_MAX_CONNECTIONS = 120
"""Fewer than the child's HTTP threads, so that it always has one to answer a probe."""
_LOG_LINE = re.compile(r"^[\d.]+ (?P<level>[A-Z]) (?P<text>.*)$")
_log = logging.getLogger(__name__)


class GGUFUpstream:
    """Serves the GGUF file at `path` on `threads` CPU threads, with `context` tokens for each answer.

    A model that writes text is given text only; where llama.cpp cannot do what is asked (pictures, embeddings of
    a model without pooling, more than four choices, a stream of several), the call is an UpstreamRejected.
    """

    def __init__(self, name: str, path: Path, threads: int, context: int, start_s: float) -> None:
        self.name = name
        self._path = path
        self._threads = threads
        self._context = context
        self._start_s = start_s
        self._child: _Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def start(self) -> None:
        """Raises ConnectionRefused with advice where the model cannot be run, SlowUpstream after `start_s`."""
        if self._keeper is not None:
            return
        _check_installed()
        await asyncio.to_thread(_check_file, self._path)
        child = await self._spawn()
        if self._closed:  # while it was loading
            await child.close()
            raise ConnectionRefused(f"The local model '{self.name}' is no longer in use.")
        self._child = child
        self._keeper = asyncio.create_task(self._keep_alive(child), name=f"gguf {self.name}")

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        _refuse_pictures(call)
        answer = await self._server().send(call)
        return _without_false_usage(answer) if _choices(call) > 1 and call.endpoint != "embeddings" else answer

    async def open(self, call: UpstreamCall) -> AnswerStream:
        _refuse_pictures(call)
        if _choices(call) > 1:
            raise UpstreamRejected(
                "A local model streams one choice at a time; ask for one, or for a whole answer.", param="n"
            )
        return await self._server().open(call)

    async def probe(self) -> None:
        await self._server().probe()

    async def close(self) -> None:
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    def _server(self) -> OpenAIUpstream:
        if self._child is None or self._child.process.returncode is not None:
            raise ConnectionRefused(f"The local model '{self.name}' is not running.")
        return self._child.server

    async def _keep_alive(self, child: _Child) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = await child.process.wait()
            self._child = None
            await child.close()
            if time.monotonic() - began > _STEADY_S:
                pause = _FIRST_PAUSE_S
            _log.warning("%s: llama.cpp ended with status %d; starting it again", self.name, code)
            while self._child is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                try:
                    self._child = child = await self._spawn()
                except (ConnectionRefused, SlowUpstream) as failure:
                    _log.error("%s: %s", self.name, failure.message)

    async def _spawn(self) -> _Child:
        key = secrets.token_urlsafe(32)
        settings = {
            "path": str(self._path),
            "alias": self._path.stem,
            "threads": self._threads,
            "context": self._context,
            "api_key": key,
        }
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # run as a file from any folder, without taking that folder's modules for the library's
                gguf_child.__file__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the parent, which lets answers end first
            )
        except OSError as error:
            raise ConnectionRefused(
                f"The process of local model '{self.name}' cannot be started: {error}."
            ) from error
        log = _ChildLog(self.name)
        stderr = cast("asyncio.StreamReader", process.stderr)
        reader = asyncio.create_task(log.follow(stderr), name=f"gguf log {self.name}")
        try:
            async with asyncio.timeout(self._start_s):
                address = await _introduce(process, settings)
        except TimeoutError as error:
            await _end(process, reader)
            raise SlowUpstream(
                f"The local model '{self.name}' was not loaded within {self._start_s:g} s; "
                "raise start_seconds, or take a smaller model."
            ) from error
        except BaseException:  # cancelled on shutdown: the child must not outlive it
            await _end(process, reader)
            raise
        if address is None:
            await _end(process, reader)
            raise ConnectionRefused(f"llama.cpp cannot run {self._path}: {log.reason()}")
        server = OpenAIUpstream(self.name, f"{address}/v1", api_key=key, max_connections=_MAX_CONNECTIONS)
        await server.start()
        return _Child(process, server, reader)


@dataclass(frozen=True, slots=True)
class _Child:
    """One life of the child process, the client of its server, and the task that reads its log."""

    process: asyncio.subprocess.Process
    server: OpenAIUpstream
    reader: asyncio.Task[None]

    async def close(self) -> None:
        await self.server.close()
        await _end(self.process, self.reader)


class _ChildLog:
    """Passes a child's log on at debug level and keeps its first error, which is the one that explains an end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._first_error = ""
        self._last = deque[str](maxlen=1)

    async def follow(self, stderr: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stderr.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._take(line.decode("utf-8", "replace").strip())

    def reason(self) -> str:
        return self._first_error or (self._last[0] if self._last else "it said nothing")

    def _take(self, line: str) -> None:
        if not line:
            return
        _log.debug("%s: %s", self._name, line)
        self._last.append(line)
        match = _LOG_LINE.match(line)
        if match and match["level"] == "E" and not self._first_error:
            self._first_error = match["text"]


async def _introduce(process: asyncio.subprocess.Process, settings: dict[str, Any]) -> str | None:
    """Tell the child what to serve. Its address, or None where it ended instead."""
    cast("asyncio.StreamWriter", process.stdin).write(orjson.dumps(settings) + b"\n")
    announcement = await cast("asyncio.StreamReader", process.stdout).readline()
    return str(orjson.loads(announcement)["address"]) if announcement else None


async def _end(process: asyncio.subprocess.Process, reader: asyncio.Task[None]) -> None:
    """Kill the child, which has nothing to lose, and read its log to the end."""
    if process.returncode is None:
        process.kill()
    await process.wait()
    await reader


def _check_installed() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConnectionRefused("Local models need xllamacpp: pip install 'weir[gguf]'.")


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConnectionRefused(f"The model file {path} cannot be read: {error.strerror}.") from error
    if magic != b"GGUF":
        raise ConnectionRefused(f"{path} is not a GGUF file; convert the model, or fetch its GGUF version.")


def _refuse_pictures(call: UpstreamCall) -> None:
    """llama.cpp would call them a fault of its own (500), which they are not."""
    for index, message in enumerate(call.body.get("messages") or ()):
        content = message.get("content")
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") != "text":
                raise UpstreamRejected(
                    "This local model reads text only.", param=f"messages[{index}].content[{place}]"
                )


def _choices(call: UpstreamCall) -> int:
    prompt = call.body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return prompts * (call.body.get("n") or 1)


def _without_false_usage(answer: WholeAnswer) -> WholeAnswer:
    """llama.cpp counts only the first of several choices: left out, Weir estimates instead, and says so."""
    data = {name: value for name, value in answer.data.items() if name != "usage"}
    return WholeAnswer(body=orjson.dumps(data), data=data)
