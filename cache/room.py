"""All of the cache, put together: what is opened before the first request and closed after the last.

The non-obvious decision: nothing in here may keep a Weir from starting or answering. A snapshot that is damaged,
other nodes that are not there, a verifier that cannot be read cost hits and are said in the log.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from cache.control import CacheControl
from cache.exact import ExactCache
from cache.limits import SemanticLimits
from cache.sharing.changes import Change, Learned, Seen
from cache.sharing.snapshot import Snapshot
from cache.sharing.spread import FROM_THE_BEGINNING, Spread
from contracts.ports import Encoder

if TYPE_CHECKING:  # needs numpy, which a Weir without a semantic cache need not have
    from cache.semantic import SemanticCache

log = logging.getLogger("weir.cache")

_SHIPPED = (Path(__file__).parents[1] / "artefacts", Path(sys.prefix) / "share/weir")
"""In a working copy, and where it was installed from a wheel."""
VERIFIER = next((path for folder in _SHIPPED if (path := folder / "cache-verifier.npz").exists()), _SHIPPED[0])
"""The one that Weir brings along; its card is artefacts/README.md."""

_SNAPSHOT_ROOM = 4
"""Times the cache's own bound: more than a snapshot takes that is rewritten when half of it is stale."""
_EVIDENCE_S = 60.0
_LOOK_S = 5.0


class CacheSettings(Struct, frozen=True, kw_only=True):
    """Of one process. `folder` is where it keeps its own things, `worker` its number among `workers`."""

    max_bytes: int
    max_answer_bytes: int
    folder: Path
    warm_start: bool = True
    worker: int = 0
    workers: int = 1
    shared_url: str = ""
    """A Redis that other nodes use too, or empty."""
    verifier: Path = VERIFIER
    limits: SemanticLimits = SemanticLimits()


class CacheRoom:
    """`encoder` None: exact hits only."""

    def __init__(self, settings: CacheSettings, encoder: Encoder | None) -> None:
        self.answers = ExactCache(max_bytes=settings.max_bytes, max_answer_bytes=settings.max_answer_bytes)
        self.semantic = _semantic(self.answers, settings, encoder) if encoder is not None else None
        self.spread = _spread(settings)
        self.snapshot = _snapshot(settings) if settings.warm_start else None
        self.control = CacheControl(self.answers, self.semantic, self.spread, self._keep)
        self._position = ""
        self._told: dict[tuple[str, str], int] = {}
        self._tending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take up what was kept, and listen to others."""
        taken = 0
        if self.snapshot is not None:
            for change in self.snapshot.read():
                self._take(change)
                taken += 1
                if taken % 256 == 0:
                    await asyncio.sleep(0)
            self.snapshot.start()
            self._tending = asyncio.create_task(self._tend(self.snapshot), name="cache")
        if self.answers:
            log.info("the cache begins with %d answers", len(self.answers))
        if self.spread is not None:
            position = self._position or (FROM_THE_BEGINNING if len(self.answers) else "")
            self.spread.start(self._hear, position=position, revision=self.answers.revision)

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            with suppress(asyncio.CancelledError):
                await self._tending
        if self.semantic is not None:
            await self.semantic.close()
        if self.spread is not None:
            await self.spread.stop()
        if self.snapshot is not None:
            for change in self._new_evidence():
                self.snapshot.append(change)
            await self.snapshot.stop()

    def _keep(self, change: Change) -> None:
        if self.snapshot is not None:
            self.snapshot.append(change)

    def _take(self, change: Change) -> None:
        """From the snapshot."""
        if isinstance(change, Seen):
            self._position = change.position
            self.answers.freshness.reach(change.revision)
        self.control.apply(change)

    def _hear(self, change: Change) -> None:
        """From another node."""
        if isinstance(change, Seen):
            self.answers.freshness.reach(change.revision)
            self._position = change.position
        self.control.apply(change)
        self._keep(change)

    async def _tend(self, snapshot: Snapshot) -> None:
        """Write down evidence now and then, and the whole snapshot anew when most of it is stale."""
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            looks += 1
            if looks % round(_EVIDENCE_S / _LOOK_S) == 0:
                for change in self._new_evidence():
                    snapshot.append(change)
            if snapshot.wants_rewrite(self.answers.bytes):
                await snapshot.rewrite(self._all_changes())

    def _all_changes(self) -> Iterator[Change]:
        yield from self.control.changes()
        if self._position:
            yield Seen(position=self._position, revision=self.answers.revision)

    def _new_evidence(self) -> list[Learned]:
        """Of the scopes that have learned something since the last time."""
        if self.semantic is None:
            return []
        news = self.semantic.events()
        changed = {scope for scope, events in news.items() if self._told.get(scope) != events}
        self._told = dict(news)
        return [learned for learned in self.control.evidence() if (learned.owner, learned.route) in changed]


def _semantic(answers: ExactCache, settings: CacheSettings, encoder: Encoder) -> SemanticCache | None:
    try:
        from cache.index.scopes import VectorIndexes
        from cache.matching.verifier import Verifier
        from cache.questions import Questions
        from cache.semantic import SemanticCache
    except ImportError as error:
        log.warning(
            "exact hits only: %s. Install Weir with its semantic cache: pip install 'weir[semantic]'", error
        )
        return None
    try:
        verifier = Verifier.load(settings.verifier)
    except (OSError, ValueError) as error:
        log.warning("exact hits only: the verifier %s cannot be read: %s", settings.verifier, error)
        return None
    questions = Questions(VectorIndexes(encoder.dimensions), answers.slots)
    return SemanticCache(answers, questions, encoder, verifier, limits=settings.limits)


def _snapshot(settings: CacheSettings) -> Snapshot:
    path = settings.folder / f"{settings.worker}.snapshot"
    return Snapshot(path, max_bytes=_SNAPSHOT_ROOM * settings.max_bytes)


def _spread(settings: CacheSettings) -> Spread | None:
    if settings.shared_url:
        from cache.sharing.redis_spread import RedisSpread

        try:
            return RedisSpread(settings.shared_url)
        except ModuleNotFoundError as error:
            log.warning("answers are not shared: %s. Install Weir with Redis: pip install 'weir[redis]'", error)
        except ValueError as error:
            log.warning("answers are not shared: `cache.shared` is not the URL of a Redis: %s", error)
    if settings.workers > 1:
        from cache.sharing.files import FileSpread

        return FileSpread(settings.folder, str(settings.worker))
    return None
