"""Vectors of texts that came up a moment ago: the least recently used go first, when all together are too large."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contracts.ports import Vector

_ENTRY_BYTES = 320
"""What an entry takes beside its text and its numbers: the heads of array and bytes, a place in the table."""


class RecentVectors:
    """At most `limit` bytes; none at all where that is 0."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._vectors: OrderedDict[str, Vector] = OrderedDict()
        self.size = 0
        """Bytes."""

    def __len__(self) -> int:
        return len(self._vectors)

    def find(self, text: str) -> Vector | None:
        vector = self._vectors.get(text)
        if vector is not None:
            self._vectors.move_to_end(text)
        return vector

    def keep(self, text: str, vector: Vector) -> None:
        size = _size(text, vector)
        if size > self._limit:
            return
        old = self._vectors.pop(text, None)
        if old is not None:
            self.size -= _size(text, old)
        self._vectors[text] = vector
        self.size += size
        while self.size > self._limit:
            self.size -= _size(*self._vectors.popitem(last=False))


def _size(text: str, vector: Vector) -> int:
    return sys.getsizeof(text) + vector.nbytes + _ENTRY_BYTES
