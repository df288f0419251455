"""The server's handle on the encoder's process: starts it, starts it again when it dies, and ends it.

Of several workers one keeps it; the others are clients of the same socket.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import cast

import orjson

log = logging.getLogger("weir.encoder")

_HOME = str(Path(__file__).parents[1])
_SHORTEST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_STOP_S = 5.0


class EncoderProcess:
    """`folder` is the built encoder's, `socket` where it is to listen: see `encoder.address`.

    It encodes up to `batch` texts at a time, and no more than `waiting` may wait, of all clients together.
    """

    def __init__(self, folder: Path, socket: Path, *, batch: int = 16, waiting: int = 256) -> None:
        self._settings = {"folder": str(folder), "socket": str(socket), "batch": batch, "waiting": waiting}
        self._process: Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """While there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Returns at once. Texts can be encoded once it has read the network, some tenths of a second later."""
        self._task = asyncio.create_task(self._keep(), name="encoder")

    async def stop(self) -> None:
        """End it. What it has in hand is lost, and its clients say so."""
        self._stopping.set()
        if self._task is None:
            return
        if self._process is not None:
            _tell_to_end(self._process)
        done, _ = await asyncio.wait([self._task], timeout=_STOP_S)
        if not done and self._process is not None:
            log.warning("the encoder did not end in %g s and is killed", _STOP_S)
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
            log.error("the encoder ended (%s); a new one starts in %g s", end, pause_s)
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
            "encoder.child",
            stdin=PIPE,
            start_new_session=True,  # Ctrl-C is for the server, which lets answers end first
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        )
        try:
            stdin = cast("asyncio.StreamWriter", process.stdin)
            settings = {**self._settings, "log_level": logging.getLogger("weir").getEffectiveLevel()}
            stdin.write(orjson.dumps(settings, option=orjson.OPT_APPEND_NEWLINE))
            if self._stopping.is_set():
                _tell_to_end(process)
            return await process.wait()
        finally:
            self._process = None


def _tell_to_end(process: Process) -> None:
    cast("asyncio.StreamWriter", process.stdin).close()
