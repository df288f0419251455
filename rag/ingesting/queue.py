"""The storage's queue, worked off: documents that were attached are read, encoded and put into their stores.

Two are at work at a time, so that one is read and written while the other is encoded. A claim is renewed while its
document is at work; where it is not wanted any more, the work is dropped. Who begins under a name gives back what
was claimed under it before: whoever had that name was killed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from contracts.errors import NotFound, RetrievalUnavailable, StoreFull
from rag.ingesting.preparing import Workshop
from rag.ports import Storage, Work
from rag.reading.text import Code, Unreadable

log = logging.getLogger("weir.rag")

_LANES = 2
_LOOK_S = 0.25
_LONGEST_PAUSE_S = 30.0
_OUR_FAULT = "Weir could not ingest it, and its log says why: attach it again to have it tried again."


class Queue:
    """Drains the queue of `storage`, all tenants'. `lease_s` is how long a claim holds unless it is renewed.
    `holder` is whose claims they are: a name that no other process works under."""

    def __init__(self, storage: Storage, workshop: Workshop, *, lease_s: float = 30.0, holder: str = "") -> None:
        self._storage = storage
        self._workshop = workshop
        self._lease_s = lease_s
        self._holder = holder

    async def drain(self) -> int:
        """Until nothing waits. Returns how many documents were worked on. Raises RetrievalUnavailable."""
        counts = await asyncio.gather(*(self._drain_lane() for _ in range(_LANES)))
        return sum(counts)

    async def keep_draining(self) -> None:
        """Until it is cancelled, whatever becomes of the storage."""
        pause_s = _LOOK_S
        begun = not self._holder
        while True:
            try:
                if not begun:
                    await self._take_back()
                    begun = True
                await self.drain()
                pause_s = _LOOK_S
            except RetrievalUnavailable as error:
                if pause_s == _LOOK_S:
                    log.warning("documents wait to be ingested: %s", error.message)
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
            await asyncio.sleep(pause_s)

    async def _take_back(self) -> None:
        if count := await self._storage.give_back(self._holder):
            log.info("%d documents wait again: who was at them was killed", count)

    async def _drain_lane(self) -> int:
        done = 0
        while (work := await self._storage.claim(self._lease_s, self._holder)) is not None:
            await self._attend(work)
            done += 1
        return done

    async def _attend(self, work: Work) -> None:
        """One document, as long as it is wanted. A claim is given back where this is cancelled."""
        task = asyncio.create_task(self._ingest(work))
        try:
            while not task.done():
                await asyncio.wait([task], timeout=self._lease_s / 3)
                if not task.done() and not await self._storage.renew(work, self._lease_s):
                    log.info("%s is not wanted any more", work.filename)
                    return
            await task
        except asyncio.CancelledError:
            with suppress(RetrievalUnavailable):
                await self._storage.renew(work, 0.0)
            raise
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _ingest(self, work: Work) -> None:
        try:
            content = await self._storage.content(work.tenant, work.file_id)
            made = await self._workshop.prepare(work.tenant, content, work.filename, work.rules)
            await self._storage.complete(work, made.prepared)
            if made.staged:
                await self._storage.clear_stage(work.tenant, made.staged)
        except Unreadable as error:
            await self._refuse(work, error.code, error.message)
        except StoreFull as error:
            await self._refuse(work, "invalid_file", error.message)
        except NotFound:
            log.info("%s was deleted before it was ingested", work.filename)
        except RetrievalUnavailable:
            raise
        except Exception:  # one document's fault is never another's
            log.exception("a document of %s could not be ingested", work.tenant)
            await self._storage.fail(work, "server_error", _OUR_FAULT)

    async def _refuse(self, work: Work, code: Code, message: str) -> None:
        log.warning("a document of %s was not ingested (%s): %s", work.tenant, work.file_id, message)
        await self._storage.fail(work, code, message)
