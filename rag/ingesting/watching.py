"""Declared stores, kept in step with their folders for as long as the server runs.

A folder is compared with its store only where one of the two has changed since the last look; what went wrong is
tried again when the folder changes, or after a minute. The non-obvious decision: an empty folder is believed only
where it was seen full. Else it may be the place of a disk that is not mounted, and the store stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from contracts.errors import NotFound, RetrievalUnavailable, WeirError
from contracts.retrieval import Store
from rag.ingesting.folder import Synced, sync
from rag.ingesting.preparing import Workshop
from rag.ingesting.scanning import FolderUnusable, Scan, Stamp, scan
from rag.ingesting.settings import WatchedStore
from rag.ports import Limits, Storage, StoreChanged

log = logging.getLogger("weir.rag")

_AGAIN_S = 60.0


class Watching:
    """One store, `watched`, and its folder."""

    def __init__(self, storage: Storage, workshop: Workshop, watched: WatchedStore, limits: Limits) -> None:
        self._storage = storage
        self._workshop = workshop
        self._watched = watched
        self._limits = limits
        self._seen: tuple[Mapping[str, Stamp], int] | None = None
        self._full: tuple[int, int] | None = None  # which folder it was that had documents in it
        self._told = ""

    async def keep_in_step(self) -> None:
        """Until it is cancelled."""
        while True:
            pause_s = self._watched.look_s
            try:
                await self.look()
                self._told = ""
            except (FolderUnusable, WeirError, StoreChanged) as error:
                self._tell(str(error))
                if not isinstance(error, RetrievalUnavailable):
                    pause_s = max(pause_s, _AGAIN_S)
            except Exception:  # the other stores are still to be kept
                log.exception("the store %s of %s could not be kept", self._watched.name, self._watched.tenant)
                pause_s = max(pause_s, _AGAIN_S)
            await asyncio.sleep(pause_s)

    async def look(self) -> Synced | None:
        """Bring it in step; None where nothing has changed since the last time. Raises as `sync` does."""
        tenant, name, folder = self._watched.tenant, self._watched.name, Path(self._watched.folder)
        found = await asyncio.to_thread(scan, folder)
        store = await made_store(self._storage, tenant, name)
        if self._seen == (found.stamps, store.state.revision):
            return None
        self._check(found, store)
        synced = await sync(self._storage, self._workshop, tenant, name, folder, limits=self._limits)
        # The stamps from before: what changed meanwhile is another look's.
        self._seen = (found.stamps, synced.store.state.revision)
        self._say(synced)
        return synced

    def _check(self, found: Scan, store: Store) -> None:
        """Raises FolderUnusable for an empty folder, unless it was seen with documents in it."""
        if found.entries:
            self._full = found.folder
        elif store.counts.completed and found.folder != self._full:
            watched = self._watched
            raise FolderUnusable(
                f"The folder {watched.folder} is empty, and the store holds {store.counts.completed:,} documents, "
                "which stay, since a disk may be missing. If they are to go: "
                f"weir rag sync {watched.folder} --tenant {watched.tenant} --store {watched.name}"
            )

    def _say(self, synced: Synced) -> None:
        plan = synced.plan
        for filename, advice in synced.failures.items():
            log.warning("%s: %s was not taken in: %s", self._watched.name, filename, advice)
        if not plan.is_empty:
            log.info(
                "the store %s of %s is in step: %d documents new, %d changed, %d gone, %d as they were",
                self._watched.name,
                self._watched.tenant,
                len(plan.new),
                len(plan.changed),
                len(plan.gone),
                plan.unchanged,
            )

    def _tell(self, message: str) -> None:
        """Once for each trouble."""
        if message != self._told:
            log.warning("the store %s of %s is not in step: %s", self._watched.name, self._watched.tenant, message)
            self._told = message


async def made_store(storage: Storage, tenant: str, name: str) -> Store:
    """The store of that name, made where there is none. Of two that are made at once, the older one stays."""
    try:
        return await storage.store(tenant, name)
    except NotFound:
        made = await storage.create_store(tenant, name)
        found = await storage.store(tenant, name)
        if found.id != made.id:
            await storage.delete_store(tenant, made.id)
        return found
