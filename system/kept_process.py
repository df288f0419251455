"""A child process that is kept alive: started, started again with growing pauses when it dies, and ended.

It is a module of Weir's own, and reads its settings as one line of JSON from standard input. The non-obvious
decision: it is told to end through that input and never by a signal, so that it ends too when the server dies,
however it died.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import orjson

_HOME = str(Path(__file__).parents[1])
_SHORTEST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


class KeptProcess:
    """Runs `module` with `settings` and `log_level`; `name` is what the log calls it.

    Told to end, it reads `farewell` before the end of its input, and is killed after `stop_s`; `at_stake` says what
    that means.
    """

    def __init__(
        self,
        module: str,
        settings: Mapping[str, Any],
        *,
        name: str,
        log: logging.Logger,
        stop_s: float,
        farewell: bytes = b"",
        at_stake: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._module = module
        self._settings = settings
        self._name = name
        self._log = log
        self._stop_s = stop_s
        self._farewell = farewell
        self._at_stake = at_stake
        self._variables = variables or {}
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """While there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Returns at once."""
        self._task = asyncio.create_task(self._keep(), name=self._name)

    async def stop(self) -> None:
        """Have it end, and wait until it has."""
        self._stopping.set()
        if self._task is None:
            return
        if self._process is not None:
            self._tell_to_end(self._process)
        done, _ = await asyncio.wait([self._task], timeout=self._stop_s)
        if not done and self._process is not None:
            self._log.warning("%s did not end in %g s and is killed%s", self._name, self._stop_s, self._at_stake)
            self._process.kill()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        pause_s = _SHORTEST_PAUSE_S
        while not self._stopping.is_set():
            began = asyncio.get_running_loop().time()
            try:
                end = f"status {await self._live()}"
            except OSError as error:
                end = str(error)
            if self._stopping.is_set():
                return
            if asyncio.get_running_loop().time() - began > _LONGEST_PAUSE_S:
                pause_s = _SHORTEST_PAUSE_S
            self._log.error("%s ended (%s); a new one starts in %g s", self._name, end, pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)

    async def _live(self) -> int:
        """One life of the process; its exit status. Raises OSError where it cannot be started."""
        path = os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the modules of the folder Weir was started in are not Weir's
            "-m",
            self._module,
            stdin=PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which lets answers end first
            env={**os.environ, "PYTHONPATH": path, **self._variables},
        )
        try:
            stdin = cast("asyncio.StreamWriter", process.stdin)
            settings = {**self._settings, "log_level": logging.getLogger("weir").getEffectiveLevel()}
            stdin.write(orjson.dumps(settings, option=orjson.OPT_APPEND_NEWLINE))
            if self._stopping.is_set():
                self._tell_to_end(process)
            return await process.wait()
        finally:
            self._process = None

    def _tell_to_end(self, process: Process) -> None:
        stdin = cast("asyncio.StreamWriter", process.stdin)
        if self._farewell:
            stdin.write(self._farewell)
        stdin.close()
