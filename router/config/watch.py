"""Notices that the configuration, or a file it names, has changed, and takes it up once it is whole.

Files are polled: that works on every file system, through symbolic links and with editors that write by rename.
A file is judged only if it stood still from a moment before it was read until after, so that one that is still
being written is neither taken nor complained about.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from router.config.load import ConfigError, Loaded, load

Outcome = Literal["taken", "refused", "unchanged"]
_Stamps = Mapping[Path, tuple[int, int, int] | None]

QUIET_S = 0.1
"""How long files must stand still before they are read."""


class Watch:
    """Looks every `every_s` seconds. `loaded` is what is in force.

    `on_change` is given what the changed files say, and raises where it cannot be put in force; `on_problem` is
    told of that, or of the ConfigError where it did not come so far. Either is called once per change, and the
    old configuration stays.
    """

    def __init__(
        self,
        path: Path,
        loaded: Loaded,
        *,
        every_s: float,
        on_change: Callable[[Loaded], Awaitable[None]],
        on_problem: Callable[[Exception], None],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._path = path
        self._in_force = loaded.digest
        self._files = loaded.files
        self._judged: _Stamps = {}
        self._every_s = every_s
        self._on_change = on_change
        self._on_problem = on_problem
        self._environ = environ
        self._asked = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look, in a task of the running loop."""
        self._task = asyncio.create_task(self._look_on(), name="watch of the configuration")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def check_soon(self) -> None:
        """Have the running watch check as `check_now` does. For signal handlers of the loop."""
        self._asked.set()

    async def check_now(self) -> Outcome:
        """Read everything again, changed or not, and say what came of it. What is still bad is told again."""
        async with self._one_at_a_time:
            return await self._judge()

    async def _look_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._every_s)
            asked = self._asked.is_set()
            self._asked.clear()
            async with self._one_at_a_time:
                if asked or _stamps(self._files) != self._judged:
                    await self._judge()

    async def _judge(self) -> Outcome:
        found = await self._read_quietly()
        if isinstance(found, ConfigError):
            self._on_problem(found)
            return "refused"
        if found.digest == self._in_force:
            return "unchanged"
        try:
            await self._on_change(found)
        except Exception as error:  # noqa: BLE001 - whatever a new configuration cannot do, the old one stays
            self._on_problem(error)
            return "refused"
        self._in_force = found.digest
        return "taken"

    async def _read_quietly(self) -> Loaded | ConfigError:
        """What the files say, read while none of them changed."""
        found: Loaded | ConfigError
        while True:
            before = _stamps(self._files)
            await asyncio.sleep(min(QUIET_S, self._every_s))
            try:
                found = await asyncio.to_thread(load, self._path, self._environ)
            except ConfigError as error:
                found = error
            self._files = found.files
            if _stamps(self._files) == before:
                self._judged = before
                return found


def _stamps(files: Iterable[Path]) -> _Stamps:
    """What tells one state of each file from the next: time of change, size, inode; None where there is no file."""
    stamps: dict[Path, tuple[int, int, int] | None] = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            stamps[file] = None
        else:
            stamps[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return stamps
