"""One store's index in memory, kept in step with its database: only documents that are new to it are loaded.

The non-obvious decision: what changed is told by numbers. A document whose revision is above the one that was
loaded is new or another one; where documents are fewer than were loaded, all their ids are compared. What was
loaded is added as a segment of its own, at once, and segments of like size are merged: small ones there and then,
large ones in a thread while searches go on with what there was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, KeysView, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
from msgspec import Struct

from contracts.retrieval import StoreState
from rag.index.segment import Indexed, Segment, Vocabulary, loaded, merged
from rag.index.snapshot import Part, Snapshot
from rag.index.vectors import Mask

_SPARE_WORDS = 100_000
_MERGED_AT_ONCE = 4096
"""Chunks that are merged before a search goes on: some milliseconds."""


class Changes(Struct, frozen=True):
    """Of a store since a revision: its state now, documents that are new or changed with their packed words and
    vectors, and all file ids, None where none has gone."""

    state: StoreState
    documents: Sequence[tuple[Indexed, bytes, bytes]]
    there: AbstractSet[str] | None


Load = Callable[[int, KeysView[str]], Awaitable[Changes]]
"""What changed since a revision, for somebody who knows these files."""


class StoreIndex:
    """Raises what `load` raises. Used in one event loop."""

    def __init__(self, load: Load, spare_words: int = _SPARE_WORDS) -> None:
        self.snapshot: Snapshot | None = None
        self._spare_words = spare_words
        self._revision = 0
        self._load = load
        self._vocabulary = Vocabulary()
        self._parts: list[Part] = []
        self._places: dict[str, tuple[Segment, int]] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._merging: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._vocabulary.bytes + 300 * len(self._places) + sum(part.segment.bytes for part in self._parts)

    @property
    def words(self) -> int:
        """Different ones, some of which may be in no document any more."""
        return len(self._vocabulary.numbers)

    async def fresh(self, revision: int) -> Snapshot:
        """At least of that revision. Those who wait share the loading, and it goes on when they stop waiting."""
        while self.snapshot is None or self.snapshot.state.revision < revision:
            if self._refreshing is None:
                self._refreshing = asyncio.create_task(self._refresh())
                self._refreshing.add_done_callback(_looked_at)
            await asyncio.shield(self._refreshing)
        return self.snapshot

    async def settled(self) -> None:
        """When no merge is under way any more."""
        while self._merging is not None:
            await asyncio.shield(self._merging)

    async def close(self) -> None:
        for task in (self._refreshing, self._merging):
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)

    async def _refresh(self) -> None:
        try:
            self._forget_words()
            changes = await self._load(self._revision, self._places.keys())
            fresh = await asyncio.to_thread(self._segments, changes.documents)
            self._take(fresh, changes)
            self._revision = changes.state.revision
            few = self._alike() if self._merging is None else []
            if few and sum(part.chunks for part in few) <= _MERGED_AT_ONCE:
                self._replace(few, await asyncio.to_thread(_merged, few))
            self._publish(changes.state)
        finally:
            self._refreshing = None
        if self._merging is None and self._alike():
            self._merging = asyncio.create_task(self._merge())

    def _forget_words(self) -> None:
        """Where most words are in no segment any more, all is loaded anew; else they would be more and more."""
        used = sum(len(part.segment.postings.words) for part in self._parts)
        if self._merging is None and self.words > 2 * used + self._spare_words:
            self._vocabulary, self._parts, self._places, self._revision = Vocabulary(), [], {}, 0

    def _segments(self, documents: Sequence[tuple[Indexed, bytes, bytes]]) -> list[Segment]:
        """In a thread: one for each encoder."""
        encoders = dict.fromkeys(document.encoder for document, _, _ in documents)
        return [
            loaded([one for one in documents if one[0].encoder == encoder], self._vocabulary)
            for encoder in encoders
        ]

    def _take(self, fresh: Sequence[Segment], changes: Changes) -> None:
        over = [document.file_id for document, _, _ in changes.documents]
        if changes.there is not None:
            over += [file_id for file_id in self._places if file_id not in changes.there]
        masks: dict[Segment, Mask] = {}
        for file_id in over:
            if (place := self._places.pop(file_id, None)) is not None:
                segment, at = place
                if segment not in masks:
                    masks[segment] = next(p.documents for p in self._parts if p.segment is segment).copy()
                masks[segment][at] = False
        parts = [Part(p.segment, masks.get(p.segment, p.documents)) for p in self._parts]
        parts += [Part(segment, np.ones(len(segment.documents), np.bool_)) for segment in fresh]
        self._parts = [part for part in parts if part.documents.any()]
        for segment in fresh:
            self._places |= {one.file_id: (segment, at) for at, one in enumerate(segment.documents)}

    def _publish(self, state: StoreState) -> None:
        newest = max(
            (one for part in self._parts for one in _newest(part)), key=lambda one: one.revision, default=None
        )
        encoder = newest.encoder if newest is not None else ""
        self.snapshot = Snapshot(state, self._parts, self._vocabulary, encoder)

    def _alike(self) -> list[Part]:
        """Parts of one encoder that should be one: the smallest, while the next is not much larger than all of
        them; or one of which more than half has gone."""
        for encoder in {part.segment.encoder for part in self._parts}:
            own = sorted((p for p in self._parts if p.segment.encoder == encoder), key=lambda part: part.chunks)
            taken, total = own[:1], own[0].chunks
            for part in own[1:]:
                if part.chunks > 2 * total:
                    break
                taken.append(part)
                total += part.chunks
            if len(taken) > 1:
                return taken
            for part in own:
                if 2 * part.chunks < len(part.segment):
                    return [part]
        return []

    async def _merge(self) -> None:
        try:
            while parts := self._alike():
                self._replace(parts, await asyncio.to_thread(_merged, parts))
                if self.snapshot is not None and self._refreshing is None:
                    self._publish(self.snapshot.state)
        finally:
            self._merging = None

    def _replace(self, parts: Sequence[Part], segment: Segment) -> None:
        """What has gone from the parts since they were merged, or came anew into another, is masked."""
        old = {part.segment for part in parts}
        mask = np.fromiter(
            ((place := self._places.get(one.file_id)) is not None and place[0] in old for one in segment.documents),
            np.bool_,
            len(segment.documents),
        )
        for at, (one, kept) in enumerate(zip(segment.documents, mask.tolist(), strict=True)):
            if kept:
                self._places[one.file_id] = (segment, at)
        self._parts = [part for part in self._parts if part.segment not in old]
        if mask.any():
            self._parts.append(Part(segment, mask))


def _looked_at(task: asyncio.Task[None]) -> None:
    """A fault was told those who waited; if nobody did, the next one meets it again."""
    if not task.cancelled():
        task.exception()


def _merged(parts: Sequence[Part]) -> Segment:
    return merged([(part.segment, part.documents) for part in parts])


def _newest(part: Part) -> list[Indexed]:
    there = [one for one, kept in zip(part.segment.documents, part.documents.tolist(), strict=True) if kept]
    return [max((one for one in there if one.chunks), key=lambda one: one.revision)] if part.chunks else []
