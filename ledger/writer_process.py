"""The server's handle on the ledger's writer: starts the process, starts it again when it dies, and ends it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import cast

import orjson

from ledger.spool import Fsync
from ledger.writer_report import FRESH_S, WriterReport, read_report

log = logging.getLogger("weir.ledger")

_HOME = str(Path(__file__).parents[1])
_SHORTEST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STOP_S = 60.0


class WriterProcess:
    """`folder` is the spool's. While there is no writer, events wait on disk."""

    def __init__(self, url: str, folder: Path, *, flush_s: float, batch: int, fsync: Fsync) -> None:
        self._settings = {"url": url, "spool": str(folder), "flush_s": flush_s, "batch": batch, "fsync": fsync}
        self._folder = folder
        self._began = time.monotonic()
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def report(self) -> WriterReport:
        """What the folder's writer says, be it of this server or of another; a new one is given time to speak."""
        beginning = time.monotonic() - self._began < FRESH_S
        return read_report(self._folder) or WriterReport(database_up=beginning)

    def start(self) -> None:
        self._began = time.monotonic()
        self._task = asyncio.create_task(self._keep(), name="ledger writer")

    async def stop(self) -> None:
        """Have it ship what is left, then end. What the database does not take now is shipped at the next start."""
        self._stopping.set()
        if self._task is None:
            return
        if self._process is not None:
            _tell_to_end(self._process)
        done, _ = await asyncio.wait([self._task], timeout=_STOP_S)
        if not done and self._process is not None:
            log.warning("the ledger's writer did not end in %g s and is killed; what waits stays on disk", _STOP_S)
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
            log.error("the ledger's writer ended (%s); a new one starts in %g s", end, pause_s)
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
            "ledger.writer_child",
            stdin=PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which lets answers end first
            env={**os.environ, "PYTHONPATH": path},
        )
        try:
            stdin = cast("asyncio.StreamWriter", process.stdin)
            level = logging.getLogger("weir").getEffectiveLevel()
            settings = {**self._settings, "log_level": level, "server": os.getpid()}
            stdin.write(orjson.dumps(settings, option=orjson.OPT_APPEND_NEWLINE))
            if self._stopping.is_set():
                _tell_to_end(process)
            return await process.wait()
        finally:
            self._process = None


def _tell_to_end(process: Process) -> None:
    """In words: where its input ends without any, it waits for this server to have died."""
    stdin = cast("asyncio.StreamWriter", process.stdin)
    stdin.write(b"\n")
    stdin.close()
