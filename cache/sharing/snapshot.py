"""A cache on disk, for a warm start after kill -9: a log of changes, rewritten when most of it is stale.

The non-obvious decision: an invalidation that the log could not take makes all of the log worthless. Where the
buffer has no room for one any more, the file is emptied, and a rewrite puts back what is alive: a cold start is
better than one that serves what was invalidated.

The event loop only adds to a buffer; one thread writes, in order. A disk that takes nothing stops nobody.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from cache.sharing.changes import Change, DecodeError, decode, encode, may_be_lost
from cache.sharing.frames import framed
from cache.sharing.snapshot_file import SnapshotFile

log = logging.getLogger("weir.cache")

_SLICE_S = 0.0005
_SLICE_BYTES = 256 * 1024
_REWRITE_PAUSE_S = 60.0

_Result = TypeVar("_Result")


class Snapshot:
    """Of one worker, at `path`. `read` it, then `start`; `append` at any time.

    `buffer_bytes` bounds what waits for the disk, an eighth of it is for what must not be lost; `max_bytes` bounds
    the file (0: does not), `rewrite_bytes` is the size below which it is never rewritten.

    For metrics: `bytes` in the file, changes `written`, changes `dropped` for want of room, writes that `failed`.
    """

    def __init__(
        self,
        path: Path,
        *,
        flush_s: float = 1.0,
        buffer_bytes: int = 16 * 1024**2,
        max_bytes: int = 0,
        rewrite_bytes: int = 8 * 1024**2,
    ) -> None:
        self.written = 0
        self.dropped = 0
        self.failed = 0
        self._flush_s = flush_s
        self._buffer_bytes = buffer_bytes
        self._max_bytes = max_bytes
        self._rewrite_bytes = rewrite_bytes
        self._file = SnapshotFile(path)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="cache snapshot")
        self._buffer, self._buffered = bytearray(), 0
        self._batch, self._batched = bytearray(), 0
        """What is being written. It is the thread's, which leaves it as it is where the disk takes nothing."""
        self._holed = False
        """Something that must not be lost was: what is alive has to be written anew."""
        self._to_empty = False
        self._reading = False
        self._rewriting = False
        self._rewrite_after = 0.0
        self._broken = False
        self._hurry = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def bytes(self) -> int:
        return self._file.size or 0

    def read(self) -> Iterator[Change]:
        """Every change that is whole, in order; what is damaged is cut off. Nothing is written before the end."""
        self._reading = True
        try:
            for payload in self._file.payloads():
                with suppress(DecodeError):  # of another Weir; what it means to this one, nobody knows
                    yield decode(payload)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._failed(error)
        finally:
            self._reading = False

    def start(self) -> None:
        """Begin to write, on the running event loop."""
        self._task = asyncio.create_task(self._run(), name="cache snapshot")

    async def stop(self) -> None:
        """Write the rest, and let go of the file."""
        self._stopping = True
        self._hurry.set()
        if self._task is not None:
            await self._task
        await self.flush()
        await self._on_disk(self._file.close)
        self._disk.shutdown(wait=False)

    def append(self, change: Change) -> None:
        """Have `change` written: in `flush_s`, or at once where it must not be lost. Never raises, never waits."""
        optional = may_be_lost(change)
        try:
            record = framed(encode(change))
        except (ValueError, OverflowError):
            log.exception("a change of the cache cannot be written down")
            self.dropped += 1
            return
        waiting = len(self._buffer) + len(self._batch) + len(record)
        if not optional:
            self._hurry.set()
        if waiting <= (self._buffer_bytes * 7 // 8 if optional else self._buffer_bytes) and not (
            optional and self._max_bytes and self.bytes + waiting > self._max_bytes
        ):
            self._buffer += record
            self._buffered += 1
            return
        self.dropped += 1
        if not optional:
            self.dropped += self._buffered
            self._buffer, self._buffered = bytearray(), 0
            self._holed = self._to_empty = True

    async def flush(self) -> bool:
        """Write what was appended; False where the disk did not take it. Survives a kill -9 when it returns."""
        if self._reading:
            return False
        for _ in range(2):  # what is being written already, and then the rest
            if not self._batch:
                self._batched, self._batch = self._buffered, self._buffer
                self._buffer, self._buffered = bytearray(), 0
            if (self._batch or self._to_empty) and not await self._on_disk(self._write):
                return False
        return True

    def wants_rewrite(self, live_bytes: int) -> bool:
        """Whether most of the file is stale: `live_bytes` is about what a rewrite would write."""
        if self._rewriting or time.monotonic() < self._rewrite_after:
            return False
        return self._holed or self.bytes > max(2 * live_bytes, self._rewrite_bytes)

    async def rewrite(self, changes: Iterable[Change]) -> bool:
        """Write `changes`, and all that is appended meanwhile, to a file that takes the place of this one.

        `changes` are taken on the event loop, half a millisecond's worth at a time. False where it came to nothing.
        """
        if self._rewriting or self._reading:
            return False
        self._rewriting = True
        try:
            await self.flush()
            self._holed = False
            copied_to = await self._on_disk(self._file.begin)
            for part in _parts(changes):
                await self._on_disk(self._file.add, part)
            await self.flush()
            if self._holed:  # meanwhile: what was emptied is not there to be copied
                return False
            await self._on_disk(self._file.replace, copied_to)
        except OSError as error:
            self._failed(error)
            self._rewrite_after = time.monotonic() + _REWRITE_PAUSE_S
            return False
        else:
            return True
        finally:
            self._rewriting = False
            with suppress(OSError, RuntimeError):
                await self._on_disk(self._file.abandon)

    async def _run(self) -> None:
        while not self._stopping:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._flush_s)
            self._hurry.clear()
            await self.flush()

    def _write(self) -> bool:
        """In the thread."""
        try:
            if self._to_empty:
                self._empty()
            batch = self._batch
            if batch:
                self._file.append(batch)
        except OSError as error:
            self._failed(error)
            return False
        if self._broken:
            self._broken = False
            log.warning("the cache's snapshot is written again")
        if batch:  # where it was empty, the event loop may have put another in its place by now
            self.written += self._batched
            self._batched, self._batch = 0, bytearray()
        return True

    def _empty(self) -> None:
        """What waits goes too: it is of before what was lost, or of as long after as it takes to write it anew."""
        self._to_empty = False
        try:
            self._file.forget()
        except OSError:
            self._to_empty = True
            raise
        if self._batch:
            self.dropped += self._batched
            self._batched, self._batch = 0, bytearray()

    def _failed(self, error: OSError) -> None:
        self.failed += 1
        if not self._broken:
            self._broken = True
            log.error("the cache's snapshot cannot be written; tried again until it can: %s", error)

    async def _on_disk(self, do: Callable[..., _Result], *args: object) -> _Result:
        """Whoever is cancelled waits no more; what was begun is done all the same."""
        loop = asyncio.get_running_loop()
        return await asyncio.shield(loop.run_in_executor(self._disk, do, *args))


def _parts(changes: Iterable[Change]) -> Iterator[bytearray]:
    """Framed records, as many as are made in a moment."""
    part, until = bytearray(), time.perf_counter() + _SLICE_S
    for change in changes:
        with suppress(ValueError, OverflowError):  # as in `append`, which has said so
            part += framed(encode(change))
        if len(part) >= _SLICE_BYTES or time.perf_counter() >= until:
            yield part
            part, until = bytearray(), time.perf_counter() + _SLICE_S
    yield part
