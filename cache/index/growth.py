"""How a scope gets large: its inverted lists are built in a thread, while searches go on as before.

The non-obvious decision: what is added and removed meanwhile is only written down, by number, after it was done.
The builder looks at each number that was written down once more: out of the new lists if it is in them, and in
again with the vector it has now if it is still there. So whatever the builder saw while the event loop changed it
is put right, without a lock; the last few are done in the event loop, which then takes the new lists. A thread and
not steps on the loop, since learning is one call of seconds to FAISS, which lets other threads run.
"""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from cache.index.lists import SAMPLE_PER_LIST, Lists, library, lists_for
from cache.index.vectors import Entries, Vectors

_LOG = logging.getLogger("weir.cache")
_NOWHERE = 0xFFFF
_BATCH = 1024


@dataclass(frozen=True)
class Growth:
    """A scope is large with more than `flat_until` entries, and flat again with less than a quarter of them. Its
    lists are built anew when `anew_after` times as many entries were added as they were built for. A build leaves
    up to `catch_up` changes to the event loop, about 50 us each."""

    flat_until: int = 1024
    anew_after: float = 3
    catch_up: int = 16

    def __post_init__(self) -> None:
        if self.flat_until < 32:
            raise ValueError("flat_until is at least 32: FAISS learns nothing from fewer")


class IndexSpace:
    """What the indexes of all scopes share: their vectors, how they grow, and the one thread that builds."""

    def __init__(self, dimensions: int, growth: Growth | None = None) -> None:
        self.vectors = Vectors(dimensions)
        self.growth = growth or Growth()
        self.closed = False
        self._builder: ThreadPoolExecutor | None = None
        self._faiss: bool | None = None

    def grows(self) -> bool:
        """False without FAISS: scopes then stay flat."""
        if self._faiss is None:
            self._faiss = find_spec("faiss") is not None
        return self._faiss and not self.closed

    def start(self, build: Build) -> Future[None]:
        if self._builder is None:
            self._builder = ThreadPoolExecutor(1, "weir-index")
        return self._builder.submit(build.run)

    def close(self) -> None:
        """Builds under way come to an end, at the latest with the learning that they are at."""
        self.closed = True
        if self._builder is not None:
            self._builder.shutdown(wait=True, cancel_futures=True)


class Build:
    """New lists for the large scope `number`, which has `entries` now."""

    def __init__(self, space: IndexSpace, number: int, entries: Entries) -> None:
        self.changed: deque[int] = deque()
        self.cancelled = False
        self.places = np.full(len(space.vectors.owners), _NOWHERE, np.uint16)
        self._space = space
        self._vectors = space.vectors
        self._number = number
        self._entries = entries
        self.lists: Lists | None = None  # until they are whole

    @property
    def _given_up(self) -> bool:
        return self.cancelled or self._space.closed

    def run(self) -> None:
        """In the thread."""
        entries = self._entries
        count = lists_for(len(entries))
        chosen = np.random.default_rng(0).permutation(len(entries))[: max(count * SAMPLE_PER_LIST, 4 * _BATCH)]
        chosen = entries[chosen]
        # In the order of the draw for FAISS, which may take the first; batches, as copying holds other threads up.
        sample = np.empty((len(chosen), self._vectors.dimensions), np.float32)
        for begin in range(0, len(chosen), _BATCH):
            order = np.argsort(chosen[begin : begin + _BATCH])
            sample[begin + order] = self._vectors.gather(chosen[begin : begin + _BATCH][order])
        lists = Lists(sample, count)
        for begin in range(0, len(entries), _BATCH):
            if self._given_up:
                return
            self._add(lists, entries[begin : begin + _BATCH])
        while len(self.changed) > self._space.growth.catch_up and not self._given_up:
            self.catch_up(lists)
        if not self._given_up:
            self.lists = lists

    def catch_up(self, lists: Lists) -> None:
        """Puts right up to a batch of entries that were added or removed since they were seen."""
        seen = {self.changed.popleft() for _ in range(min(_BATCH, len(self.changed)))}
        for entry in seen:
            if entry < len(self.places) and self.places[entry] != _NOWHERE:
                lists.remove(entry, int(self.places[entry]))
                self.places[entry] = _NOWHERE
        owners = self._vectors.owners
        there = [entry for entry in sorted(seen) if owners[entry] == self._number]
        if there:
            self._add(lists, np.array(there))

    def _add(self, lists: Lists, entries: Entries) -> None:
        if int(entries[-1]) >= len(self.places):
            more = max(int(entries[-1]) + 1, len(self._vectors.owners)) - len(self.places)
            self.places = np.concatenate([self.places, np.full(more, _NOWHERE, np.uint16)])
        self.places[entries] = lists.add(entries, self._vectors.gather(entries))


class Large:
    """The large form of a scope. While `lists` is None, its first are being built and it is searched flat."""

    def __init__(self, space: IndexSpace, number: int, entries: Entries) -> None:
        self.lists: Lists | None = None
        self.number = number
        self.count = len(entries)
        self._space = space
        self._vectors = space.vectors
        self._vectors.owners[entries] = number
        self._build: Build | None = None
        self._future: Future[None] | None = None
        self._begin(entries)

    @property
    def building(self) -> bool:
        return self._build is not None

    def add(self, entry: int) -> None:
        """After it was put among the vectors."""
        self._vectors.owners[entry] = self.number
        self.count += 1
        self._added += 1
        if self.lists is not None:
            one = np.array([entry])
            self._vectors.places[entry] = self.lists.add(one, self._vectors.gather(one))[0]
        if self._build is not None:
            self._build.changed.append(entry)
        elif self._added > self._built_for * self._space.growth.anew_after and self._space.grows():
            self._begin(self._vectors.owned(self.number))

    def remove(self, entry: int) -> None:
        """Before it is dropped among the vectors."""
        if self.lists is not None:
            self.lists.remove(entry, int(self._vectors.places[entry]))
        self.count -= 1
        self._vectors.owners[entry] = 0
        if self._build is not None:
            self._build.changed.append(entry)

    def settle(self, *, wait: bool = False) -> bool:
        """Whether new lists were ready and have been taken."""
        build, future = self._build, self._future
        if build is None or future is None or not (wait or future.done()):
            return False
        self._build = self._future = None
        try:
            future.result()
        except Exception:  # noqa: BLE001  whatever FAISS or the memory says, the old form still serves
            _LOG.exception("a large scope of the cache could not be indexed; it stays as it is")
            return False
        if build.lists is None:
            return False
        library()  # holds FAISS to one thread in this thread, too
        while build.changed:
            build.catch_up(build.lists)
        mine = self._vectors.owners[: len(build.places)] == self.number
        np.copyto(self._vectors.places[: len(mine)], build.places[: len(mine)], where=mine)
        self.lists = build.lists
        return True

    def cancel(self) -> None:
        if self._build is not None:
            self._build.cancelled = True
        if self._future is not None:
            self._future.cancel()
        self._build = self._future = None
        self._vectors.release(self.number)

    def _begin(self, entries: Entries) -> None:
        self._built_for, self._added = len(entries), 0
        self._build = Build(self._space, self.number, entries)
        self._future = self._space.start(self._build)
