"""Invalidations among the workers of one Weir on one machine, through a file that all of them append to.

The non-obvious decision: answers do not go this way. Each worker has its own, and what they must agree on is small
enough for a file, so that there is nothing to set up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from cache.sharing.changes import Change, Dropped, Invalidated, Quarantined, Seen
from cache.sharing.shared_log import SharedLog
from cache.sharing.spread import Outbox, apply_safely

log = logging.getLogger("weir.cache")

_BATCH, _BATCH_BYTES = 1_000, 1024**2
_MOST_GRANTED = 10_000

_Result = TypeVar("_Result")


class FileSpread:
    """A `Spread`. `folder` is made where it does not exist; `worker` names this process to who reads the file.

    Others see a change after `poll_s` at most and the time of a read. Beyond `max_bytes` the older half of the file
    goes, and a worker that had not read it yet takes all it has for stale.
    """

    def __init__(self, folder: Path, worker: str, *, poll_s: float = 0.25, max_bytes: int = 4 * 1024**2) -> None:
        self.up = False
        self.sent = 0
        self.received = 0
        self.failed = 0
        self._poll_s = poll_s
        self._log = SharedLog(folder, f"{worker}:{uuid4().hex[:12]}", max_bytes=max_bytes)
        self._outbox = Outbox()
        self._granted: set[int] = set()
        self._apply: Callable[[Change], None] = lambda _: None
        self._revision = 0
        self._alone = False
        """Revisions were counted here that others may have given too."""
        self._said = Seen(position="", revision=0)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="cache spread")
        self._hurry = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def lost(self) -> int:
        return self._outbox.lost

    def start(self, apply: Callable[[Change], None], *, position: str = "", revision: int = 0) -> None:
        """Also applies what the file holds after `position`, before it returns."""
        self._apply = apply
        self._revision = revision
        self._log.begin_at(position)
        try:
            heard = self._log.exchange([], revision, False)
        except OSError as error:
            self._failed(error)
        else:
            self._take(heard)
        self._task = asyncio.create_task(self._run(), name="cache spread")

    def publish(self, change: Change) -> None:
        if not isinstance(change, Invalidated | Dropped | Quarantined):
            return
        revision = change.revision if isinstance(change, Invalidated) else 0
        self._outbox.put(change, numbered=revision in self._granted)
        self._granted.discard(revision)
        self._revision = max(self._revision, revision)
        self._hurry.set()

    async def next_revision(self) -> int:
        try:
            revision = await self._on_disk(self._log.count, self._revision)
            if len(self._granted) >= _MOST_GRANTED:  # and never told; what is, gets a new number then
                self._granted.clear()
            self._granted.add(revision)
        except OSError as error:
            self._failed(error)
            revision, self._alone = self._revision + 1, True
        self._revision = max(self._revision, revision)
        return revision

    async def stop(self) -> None:
        self._stopping = True
        self._hurry.set()
        if self._task is not None:
            await self._task
        await self._on_disk(self._log.close)
        self._disk.shutdown(wait=False)

    async def _run(self) -> None:
        while True:
            if self._outbox or not self.up or self._alone or self._log.changed():
                await self._turn()
            if self._outbox and self.up:
                continue
            if self._stopping:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._poll_s)
            self._hurry.clear()

    async def _turn(self) -> None:
        parcels, alone = self._outbox.take(_BATCH, _BATCH_BYTES), self._alone
        self._alone = False
        try:
            heard = await self._on_disk(self._log.exchange, parcels, self._revision, alone)
        except OSError as error:
            self._alone = self._alone or alone
            self._outbox.put_back(parcels)
            self._failed(error)
            return
        self.sent += len(parcels)
        self._take(heard)

    def _take(self, heard: list[Change]) -> None:
        if not self.up and self.failed:
            log.warning("the workers' caches hear of each other again")
        self.up = True
        for change in heard:
            if isinstance(change, Invalidated):
                self._revision = max(self._revision, change.revision)
            self.received += 1
            apply_safely(self._apply, change)
        seen = Seen(position=self._log.position, revision=self._revision)
        if seen != self._said:
            self._said = seen
            apply_safely(self._apply, seen)

    def _failed(self, error: OSError) -> None:
        self.failed += 1
        if self.up or self.failed == 1:
            log.error("the workers' caches do not hear of each other; tried again until they do: %s", error)
        self.up = False

    async def _on_disk(self, do: Callable[..., _Result], *args: object) -> _Result:
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._disk, do, *args))
