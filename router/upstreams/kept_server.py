"""A model's server in a child process of Weir's: started, kept alive, spoken to over loopback, ended.

A process of its own, because a model that crashes or runs out of memory must not take Weir along. When it dies,
calls fail at once, so that the attempt policy goes elsewhere, and it is started again after a pause that doubles.
The non-obvious decision: all such children speak alike. They read their settings as one line of JSON from standard
input, print their address as one line of JSON once they serve, and end with that input, however Weir died.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import orjson

from contracts.errors import ConnectionRefused, SlowUpstream
from router.upstreams.openai_http import OpenAIUpstream

_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 30.0
_STEADY_S = 60.0
"""A child that lived this long starts again after the shortest pause."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a child runs. `script` is a file; its settings are `settings` and an `api_key` made for each life.

    `engine` is what logs and messages call it, `cannot` begins the sentence that says why it ended, `slow` the
    advice where it takes longer than `start_s` seconds. `errors` finds the line of its log that explains an end,
    as its group `text`. `health` is the path that tells whether it is well; None: its list of models.
    """

    engine: str
    script: str
    settings: Mapping[str, Any]
    start_s: float
    cannot: str
    slow: str
    errors: re.Pattern[str]
    max_connections: int
    health: str | None = None


class KeptServer:
    """The server of the upstream called `name`. `check` is run in a thread before the first start."""

    def __init__(self, name: str, program: Program, check: Callable[[], None]) -> None:
        self._name = name
        self._program = program
        self._check = check
        self._child: _Child | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def up(self) -> bool:
        return self._child is not None and self._child.process.returncode is None

    @property
    def server(self) -> OpenAIUpstream:
        """Raises ConnectionRefused while it does not run."""
        if self._child is None or self._child.process.returncode is not None:
            raise ConnectionRefused(f"The local model '{self._name}' is not running.")
        return self._child.server

    async def start(self) -> None:
        """Raises ConnectionRefused with advice where it cannot be run, SlowUpstream where it takes too long."""
        if self._keeper is not None:
            return
        await asyncio.to_thread(self._check)
        child = await self._spawn()
        if self._closed:  # while it was loading
            await child.close()
            raise ConnectionRefused(f"The local model '{self._name}' is no longer in use.")
        self._child = child
        self._keeper = asyncio.create_task(self._keep_alive(child), name=f"{self._program.engine} {self._name}")

    async def close(self) -> None:
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _keep_alive(self, child: _Child) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = await child.process.wait()
            self._child = None
            await child.close()
            if time.monotonic() - began > _STEADY_S:
                pause = _FIRST_PAUSE_S
            _log.warning("%s: %s ended with status %d; starting it again", self._name, self._program.engine, code)
            while self._child is None:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                try:
                    self._child = child = await self._spawn()
                except (ConnectionRefused, SlowUpstream) as failure:
                    _log.error("%s: %s", self._name, failure.message)

    async def _spawn(self) -> _Child:
        program, key = self._program, secrets.token_urlsafe(32)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # run as a file from any folder, without taking that folder's modules for the library's
                program.script,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the parent, which lets answers end first
            )
        except OSError as error:
            raise ConnectionRefused(
                f"The process of local model '{self._name}' cannot be started: {error}."
            ) from error
        log = _ChildLog(self._name, program.errors)
        stderr = cast("asyncio.StreamReader", process.stderr)
        reader = asyncio.create_task(log.follow(stderr), name=f"{program.engine} log {self._name}")
        try:
            async with asyncio.timeout(program.start_s):
                address = await _introduce(process, {**program.settings, "api_key": key})
        except TimeoutError as error:
            await _end(process, reader)
            raise SlowUpstream(
                f"The local model '{self._name}' was not loaded within {program.start_s:g} s; {program.slow}."
            ) from error
        except BaseException:  # cancelled on shutdown: the child must not outlive it
            await _end(process, reader)
            raise
        if address is None:
            await _end(process, reader)
            raise ConnectionRefused(f"{program.cannot}: {log.reason()}")
        server = OpenAIUpstream(
            self._name,
            f"{address}/v1",
            api_key=key,
            max_connections=program.max_connections,
            health=program.health,
        )
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

    def __init__(self, name: str, errors: re.Pattern[str]) -> None:
        self._name = name
        self._errors = errors
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
        match = self._errors.search(line)
        if match and not self._first_error:
            self._first_error = match["text"]


async def _introduce(process: asyncio.subprocess.Process, settings: dict[str, Any]) -> str | None:
    """Tell the child what to serve. Its address, or None where it ended instead."""
    cast("asyncio.StreamWriter", process.stdin).write(orjson.dumps(settings) + b"\n")
    announcement = await cast("asyncio.StreamReader", process.stdout).readline()
    return str(orjson.loads(announcement)["address"]) if announcement else None


async def _end(process: asyncio.subprocess.Process, reader: asyncio.Task[None]) -> None:
    """Kill the child and all that it started, which have nothing to lose, and read its log to the end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # also where the child is dead already, and others of it are not
    await process.wait()
    await reader
