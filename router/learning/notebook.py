"""What was asked, and how good answers were: JSON lines in the state folder, one file for each tenant.

The non-obvious decision: a tenant's lines are in a file of its own, so that whoever trains for one tenant reads
nothing of another, and whoever must forget a tenant removes one file. Lines are written beside the requests, some
moments later: they are for learning, and a crash may cost the last of them.

    asked:    {"request_id", "at", "route", "tenant", "query", "model", "intent", "propensities", "cost_usd", ...}
    outcome:  {"request_id", "at", "route", "tenant", "model", "score", "source", and "query" where it is known}
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from system.files import is_at, try_lock

log = logging.getLogger("weir.learning")

_PAUSE_S = 0.5
_MOST_WAITING = 10_000
"""Lines in memory; with more than that the newest are dropped, and counted."""
_LOCK_WAIT_S = 5.0
_LOCK_RETRY_S = 0.002

_Line = tuple[str, int, bytes]
"""The tenant, the bound on what is kept of it, and the line."""


def notebook_path(state: Path, tenant: str) -> Path:
    """Where a tenant's lines are; the half before them has `.old` after its name."""
    return state / "outcomes" / f"{quote(tenant, safe='')}.jsonl"


class Notebook:
    """Appends lines for tenants. Any number of processes may share the folder."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._waiting: list[_Line] = []
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.written = 0
        self.dropped = 0

    def note(self, tenant: str, line: Mapping[str, Any], *, max_bytes: int) -> None:
        """Have a line written soon. `max_bytes` bounds what is kept of the tenant, both files together."""
        if len(self._waiting) >= _MOST_WAITING:
            self.dropped += 1
            return
        self._waiting.append((tenant, max_bytes, orjson.dumps(line, default=str, option=orjson.OPT_APPEND_NEWLINE)))

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_writing(), name="notebook")

    async def stop(self) -> None:
        """Write what waits, and end."""
        self._ending.set()
        if self._task is not None:
            await self._task
        self.flush()

    def flush(self) -> None:
        """Write what waits, now."""
        self._write(self._taken())

    def _taken(self) -> Sequence[_Line]:
        waiting, self._waiting = self._waiting, []
        return waiting

    def _write(self, waiting: Sequence[_Line]) -> None:
        pages: dict[str, tuple[int, list[bytes]]] = {}
        for tenant, max_bytes, line in waiting:
            pages.setdefault(tenant, (max_bytes, []))[1].append(line)
        for tenant, (max_bytes, lines) in pages.items():
            try:
                _append(notebook_path(self._state, tenant), b"".join(lines), max_bytes)
                self.written += len(lines)
            except OSError as error:
                self.dropped += len(lines)
                log.warning("what was learned from %d requests could not be written: %s", len(lines), error)

    async def _keep_writing(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _PAUSE_S)
            # Taken by the loop that notes, so that none is noted into a list which was written already.
            if waiting := self._taken():
                await asyncio.to_thread(self._write, waiting)


def _append(path: Path, data: bytes, max_bytes: int) -> None:
    """Whole lines at the end, or none of them. What would not fit into half of `max_bytes` makes the file old."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        with _alone(path) as fd:
            size = os.fstat(fd).st_size
            if not size or size + len(data) <= max_bytes // 2:
                _write_all(fd, size, data)
                return
            path.replace(path.with_suffix(".jsonl.old"))


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    """The file open for appending, under its lock, and still under its name: another process may have made it old
    while this one waited, and its name would take what is old with it if it were made old again.
    """
    until = time.monotonic() + _LOCK_WAIT_S
    while True:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not try_lock(fd):
                if time.monotonic() > until:
                    raise TimeoutError(f"another process holds {path} and does not let go")
                time.sleep(_LOCK_RETRY_S)
            if is_at(fd, path):
                yield fd
                return
        finally:
            os.close(fd)


def _write_all(fd: int, size: int, data: bytes) -> None:
    """A full disk takes a part, and says so only at the next write; a killed process may have left half a line."""
    torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
    rest = memoryview(b"\n" + data if torn else data)
    try:
        while rest:
            rest = rest[os.write(fd, rest) :]
    except OSError:
        os.ftruncate(fd, size)
        raise
