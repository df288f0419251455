"""The nearest stored questions of a scope: flat while it is small, inverted lists once it is large.

The non-obvious decision: a small scope is nothing but its entries' numbers, packed into one bytes object. A cache
has a scope for each history of a conversation, and most of them hold one entry: as objects with lists and arrays
they would take more memory than their vectors, and every garbage collection would walk through all of them.

Similarities are those of the query with the stored int8 vector, in either form. Belongs to one event loop; the
thread that builds large scopes is in `cache.index.growth`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from sys import getsizeof

import numpy as np

from cache.index.growth import Growth, IndexSpace, Large
from cache.index.vectors import Entries, Floats, Vectors

Scope = bytes
Found = list[tuple[int, float]]
"""Entries and their similarities, best first; of equally similar ones the lower number."""

_Packed = bytes
_WIDTH = 4
_ROWS_AT_ONCE = 4096
_PACKED_UNTIL = 64
_LARGE_BYTES = 1024
"""A large scope beside its lists: the objects that hold it."""


class VectorIndex:
    """One scope. `space` is what it shares with others; its entries' numbers are then its own among all of them.

    Entries are small whole numbers; memory goes with the largest. A `vector` is of unit length. `entries` are those
    that are in the space already, packed.
    """

    __slots__ = ("_entries", "_large", "_shares", "_space")

    def __init__(
        self,
        dimensions: int,
        *,
        growth: Growth | None = None,
        space: IndexSpace | None = None,
        entries: _Packed = b"",
    ) -> None:
        self._space = space or IndexSpace(dimensions, growth)
        self._shares = space is not None
        self._entries = entries
        self._large: Large | None = None

    def __len__(self) -> int:
        return len(self._entries) // _WIDTH if self._large is None else self._large.count

    @property
    def is_large(self) -> bool:
        """Whether it is searched by inverted lists."""
        return self._large is not None and self._large.lists is not None

    @property
    def bytes(self) -> int:
        """Memory with all that belongs to it, of a shared space the part for its entries."""
        vectors = self._space.vectors
        return self.own_bytes + (len(self) * vectors.row_bytes if self._shares else vectors.bytes)

    @property
    def own_bytes(self) -> int:
        """Memory beside the vectors."""
        own = getsizeof(self) + getsizeof(self._entries)
        if self._large is not None:
            own += _LARGE_BYTES + (self._large.lists.bytes if self._large.lists else 0)
        return own

    def add(self, entry: int, vector: Floats) -> None:
        """ValueError where `entry` is taken, in whatever scope of the space, and for what is no such vector."""
        self._settle()
        self._space.vectors.put(entry, vector)
        if not self.is_large:
            self._entries += entry.to_bytes(_WIDTH, "little")
        if self._large is not None:
            self._large.add(entry)
        elif len(self) > self._space.growth.flat_until:
            self._grow()

    def add_many(self, entries: Sequence[int], vectors: Floats) -> None:
        """As `add` for each, with `vectors` (n, dimensions), but a large scope is built once: for a warm start.

        A scope that it makes large is searched from end to end until it is `settled`.
        """
        self._settle()
        if self._large is not None:
            for entry, vector in zip(entries, vectors, strict=True):
                self.add(entry, vector)
            return
        done = 0
        try:
            for entry, vector in zip(entries, vectors, strict=True):
                self._space.vectors.put(entry, vector)
                done += 1
        finally:
            self._entries += packed(np.array(entries[:done]))
        if len(self) > self._space.growth.flat_until:
            self._grow()

    def remove(self, entry: int) -> None:
        """KeyError where this scope has no such entry."""
        self._settle()
        if entry not in self:
            raise KeyError(entry)
        if not self.is_large:
            self._entries = _without(self._entries, entry)
        if self._large is not None:
            self._large.remove(entry)
        self._space.vectors.drop(entry)
        if self._large is not None and len(self) < self._space.growth.flat_until // 4:
            self._shrink(self._large)

    def search(self, vector: Floats, k: int = 3, floor: float = -inf) -> Found:
        """Up to `k` entries that are at least `floor` similar. A large scope may miss some that are little so."""
        self._settle()
        if self._large is not None and self._large.lists is not None:
            return nearest(self._space.vectors, self._large.lists.candidates(vector, k), vector, k, floor)
        return nearest(self._space.vectors, unpacked(self._entries), vector, k, floor)

    def vector(self, entry: int) -> Floats:
        """As it is kept, so to within half of one 127th of its largest number. KeyError where it is not here."""
        if entry not in self:
            raise KeyError(entry)
        return self._space.vectors.get(entry)

    def __contains__(self, entry: int) -> bool:
        if self._large is None:
            return bool((unpacked(self._entries) == entry).any())
        owners = self._space.vectors.owners
        return 0 <= entry < len(owners) and bool(owners[entry] == self._large.number)

    def __iter__(self) -> Iterator[int]:
        """Its entries; do not change it meanwhile."""
        if self._large is None:
            return iter(unpacked(self._entries).tolist())
        return iter(self._space.vectors.owned(self._large.number).tolist())

    def settled(self) -> None:
        """Waits for builds under way: after a warm start, before requests come."""
        while self._large is not None and self._large.building:
            self._settle(wait=True)

    def clear(self) -> None:
        """Removes all entries."""
        entries = list(self)
        if self._large is not None:
            self._large.cancel()
        self._large, self._entries = None, b""
        for entry in entries:
            self._space.vectors.drop(entry)

    def close(self) -> None:
        """Ends the building thread, if it is this index's own. The index stays searchable, and grows no more."""
        if not self._shares:
            self._space.close()

    def _settle(self, *, wait: bool = False) -> None:
        if self._large is not None and self._large.settle(wait=wait):
            self._entries = b""

    def _grow(self) -> None:
        if self._space.grows() and (number := self._space.vectors.claim()) is not None:
            self._large = Large(self._space, number, np.sort(unpacked(self._entries)))

    def _shrink(self, large: Large) -> None:
        entries = self._space.vectors.owned(large.number)
        large.cancel()
        self._space.vectors.owners[entries] = 1
        self._large, self._entries = None, packed(entries)


class VectorIndexes:
    """The scopes of a cache, by key. An entry's number is its own among all of them."""

    def __init__(self, dimensions: int, growth: Growth | None = None) -> None:
        self._space = IndexSpace(dimensions, growth)
        self._dimensions = dimensions
        self._few: dict[bytes, bytes] = {}
        self._many: dict[bytes, VectorIndex] = {}
        self._few_bytes = 0

    def __len__(self) -> int:
        """Entries of all scopes."""
        return len(self._space.vectors)

    @property
    def scopes(self) -> int:
        return len(self._few) + len(self._many)

    @property
    def bytes(self) -> int:
        """Memory of all scopes with their keys."""
        many = sum(getsizeof(key) + index.own_bytes for key, index in self._many.items())
        tables = getsizeof(self._few) + getsizeof(self._many)
        return self._space.vectors.bytes + self._few_bytes + many + tables

    def size(self, scope: Scope) -> int:
        """Entries of one."""
        if index := self._many.get(scope):
            return len(index)
        return len(self._few.get(scope, b"")) // _WIDTH

    def add(self, scope: Scope, entry: int, vector: Floats) -> None:
        """ValueError where `entry` is taken, in whatever scope, and for what is no such vector."""
        if (index := self._many.get(scope)) is not None:
            index.add(entry, vector)
            return
        self._space.vectors.put(entry, vector)
        entries = self._few.get(scope, b"") + entry.to_bytes(_WIDTH, "little")
        self._keep(scope, entries)
        if len(entries) > _PACKED_UNTIL * _WIDTH:
            self._keep(scope, b"")
            self._many[scope] = VectorIndex(self._dimensions, space=self._space, entries=entries)

    def add_many(self, scope: Scope, entries: Sequence[int], vectors: Floats) -> None:
        """As of `VectorIndex`."""
        if scope not in self._many and self.size(scope) + len(entries) <= _PACKED_UNTIL:
            for entry, vector in zip(entries, vectors, strict=True):
                self.add(scope, entry, vector)
            return
        if scope not in self._many:
            there = self._few.get(scope, b"")
            self._keep(scope, b"")
            self._many[scope] = VectorIndex(self._dimensions, space=self._space, entries=there)
        self._many[scope].add_many(entries, vectors)

    def remove(self, scope: Scope, entry: int) -> None:
        """KeyError where that scope has no such entry."""
        if (index := self._many.get(scope)) is not None:
            index.remove(entry)
            if not len(index):
                del self._many[scope]
            return
        self._keep(scope, _without(self._few.get(scope, b""), entry))
        self._space.vectors.drop(entry)

    def search(self, scope: Scope, vector: Floats, k: int = 3, floor: float = -inf) -> Found:
        """As of `VectorIndex`; nothing in a scope that is not there."""
        if (index := self._many.get(scope)) is not None:
            return index.search(vector, k, floor)
        entries = self._few.get(scope)
        return nearest(self._space.vectors, unpacked(entries), vector, k, floor) if entries else []

    def vector(self, entry: int) -> Floats:
        """As of `VectorIndex`, in whatever scope."""
        return self._space.vectors.get(entry)

    def drop(self, scope: Scope) -> None:
        """Removes a scope with all its entries."""
        if (index := self._many.pop(scope, None)) is not None:
            index.clear()
        for entry in unpacked(self._few.get(scope, b"")).tolist():
            self._space.vectors.drop(entry)
        self._keep(scope, b"")

    def settled(self) -> None:
        """Waits for all builds under way."""
        for index in self._many.values():
            index.settled()

    def close(self) -> None:
        """Ends the building thread. Searches still work."""
        self._space.close()

    def _keep(self, scope: Scope, entries: _Packed) -> None:
        before = self._few.pop(scope, None)
        if before is not None:
            self._few_bytes -= _rounded(before) + _rounded(scope)
        if entries:
            self._few[scope] = entries
            self._few_bytes += _rounded(entries) + _rounded(scope)


def nearest(vectors: Vectors, entries: Entries, query: Floats, k: int, floor: float) -> Found:
    """Up to `k` of `entries` that are at least `floor` similar to `query`, by looking at each of them."""
    found: Found = []
    entries = np.sort(entries)
    for begin in range(0, len(entries), _ROWS_AT_ONCE):
        some = entries[begin : begin + _ROWS_AT_ONCE]
        similarities = vectors.similarities(some, query)
        near = np.flatnonzero(similarities >= floor)
        best = near[np.argsort(-similarities[near], kind="stable")[:k]]
        found += zip(some[best].tolist(), similarities[best].tolist(), strict=True)
    if len(entries) > _ROWS_AT_ONCE:
        found.sort(key=lambda one: (-one[1], one[0]))
    return found[:k]


def packed(entries: Entries) -> _Packed:
    return entries.astype("<i4").tobytes()


def unpacked(entries: _Packed) -> Entries:
    return np.frombuffer(entries, "<i4")


def _without(entries: _Packed, entry: int) -> _Packed:
    """KeyError where it is not among them."""
    at = np.flatnonzero(unpacked(entries) == entry)
    if not len(at):
        raise KeyError(entry)
    begin = int(at[0]) * _WIDTH
    return entries[:begin] + entries[begin + _WIDTH :]


def _rounded(value: bytes) -> int:
    """The object's size as the allocator rounds it."""
    return (getsizeof(value) + 15) & ~15
