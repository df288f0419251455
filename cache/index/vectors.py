"""The vectors of all scopes in one place: int8 numbers and a scale each, in rows that are used again.

The non-obvious decision: a row is the entry's number, which the caller gives and which is its own across all
scopes. So nothing maps entries to rows, and a million scopes with one entry each cost what one scope with a million
does. Rows lie in blocks that never move: growing copies next to nothing, and the thread that builds a large index
may read while the event loop writes. What if it reads a row half written, `cache.index.growth` tells.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Entries = NDArray[Any]
"""Entry numbers: int32 or int64."""

FREE, SMALL = 0, 1
"""Owners: nobody, and a scope that is searched from end to end. Larger numbers are those of large scopes."""
MOST_OWNERS = 0xFFFF
_BLOCK_BITS = 14
_BLOCK = 1 << _BLOCK_BITS
_FIRST = 256
_PEAK = 127
_FEW = 64
"""Rows that are fetched faster one by one than block by block."""


class Vectors:
    """Unit vectors by entry. `owners` and `places` are columns by entry: the scope that it belongs to if that is a
    large one, and the inverted list there that holds it."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.row_bytes = dimensions + 4 + 2 + 2
        self.owners = np.zeros(_FIRST, np.uint16)
        self.places = np.zeros(_FIRST, np.uint16)
        self._codes: list[NDArray[np.int8] | None] = []
        self._scales: list[Floats | None] = []
        self._live: list[int] = []
        self._count = 0
        self._numbers = set[int]()

    def __len__(self) -> int:
        return self._count

    @property
    def bytes(self) -> int:
        """What is allocated, rows that wait to be used again included."""
        arrays = [*self._codes, *self._scales, self.owners, self.places]
        return sum(array.nbytes for array in arrays if array is not None)

    def put(self, entry: int, vector: Floats) -> None:
        """ValueError for an entry that is there already, and for what is no vector of these dimensions."""
        if entry < 0 or (entry < len(self.owners) and self.owners[entry] != FREE):
            raise ValueError(f"entry {entry} is taken" if entry >= 0 else f"{entry} is no entry's number")
        if vector.shape != (self.dimensions,):
            raise ValueError(f"a vector of shape {vector.shape}, not of {self.dimensions} dimensions")
        peak = float(np.abs(vector).max())
        if not peak < inf:
            raise ValueError("a vector that is not finite")
        codes, scales = self._rows(entry)
        row = entry & (_BLOCK - 1)
        scales[row] = peak / _PEAK
        codes[row] = np.rint(vector * (_PEAK / peak)) if peak else 0
        self._live[entry >> _BLOCK_BITS] += 1
        self.owners[entry] = SMALL
        self._count += 1

    def drop(self, entry: int) -> None:
        """Its row is free for the next entry of this number; a block without any is given back."""
        block = entry >> _BLOCK_BITS
        self.owners[entry] = FREE
        self._count -= 1
        self._live[block] -= 1
        if not self._live[block]:
            self._codes[block] = self._scales[block] = None

    def get(self, entry: int) -> Floats:
        """KeyError where it is not."""
        if not 0 <= entry < len(self.owners) or self.owners[entry] == FREE:
            raise KeyError(entry)
        vector: Floats = self.gather(np.array([entry]))[0]
        return vector

    def gather(self, entries: Entries) -> Floats:
        """(n, dimensions). `entries` rise unless they are few; an entry that has gone meanwhile has any vector."""
        codes, scales = self._fetched(entries)
        decoded: Floats = codes.astype(np.float32) * scales[:, None]
        return decoded

    def similarities(self, entries: Entries, query: Floats) -> Floats:
        """(n,): with each of `entries`, which rise unless they are few.

        einsum, as BLAS would wake a second thread for so little, and have it spin.
        """
        codes, scales = self._fetched(entries)
        found: Floats = np.einsum("ij,j->i", codes.astype(np.float32), query) * scales
        return found

    def claim(self) -> int | None:
        """An owner's number for one more large scope; None where there are too many."""
        number = next((n for n in range(SMALL + 1, MOST_OWNERS + 1) if n not in self._numbers), None)
        if number is not None:
            self._numbers.add(number)
        return number

    def release(self, number: int) -> None:
        self._numbers.discard(number)

    def owned(self, number: int) -> Entries:
        """All entries of a large scope, rising."""
        return np.flatnonzero(self.owners == number)

    def _rows(self, entry: int) -> tuple[NDArray[np.int8], Floats]:
        """The block of `entry`, made where it is missing."""
        if entry >= len(self.owners):
            more = max(entry + 1, len(self.owners) * 3 // 2) - len(self.owners)
            self.owners = np.concatenate([self.owners, np.zeros(more, np.uint16)])
            self.places = np.concatenate([self.places, np.zeros(more, np.uint16)])
        block = entry >> _BLOCK_BITS
        while block >= len(self._codes):
            self._codes.append(None)
            self._scales.append(None)
            self._live.append(0)
        codes, scales = self._codes[block], self._scales[block]
        needed = (entry & (_BLOCK - 1)) + 1
        if codes is None or scales is None or len(codes) < needed:
            # Only the first block begins small: a cache of ten entries should not take a block's six megabytes.
            rows = _BLOCK if block else min(_BLOCK, max(_FIRST, 1 << (needed - 1).bit_length()))
            fresh = np.empty((rows, self.dimensions), np.int8), np.empty(rows, np.float32)
            if codes is not None and scales is not None:
                fresh[0][: len(codes)] = codes
                fresh[1][: len(scales)] = scales
            self._codes[block], self._scales[block] = codes, scales = fresh
        return codes, scales

    def _fetched(self, entries: Entries) -> tuple[NDArray[np.int8], Floats]:
        """Codes and scales. A block that was given back meanwhile leaves zeros."""
        codes = np.zeros((len(entries), self.dimensions), np.int8)
        scales = np.zeros(len(entries), np.float32)
        if len(entries) <= _FEW:
            for at, entry in enumerate(entries.tolist()):
                block, row = entry >> _BLOCK_BITS, entry & (_BLOCK - 1)
                rows, factors = self._codes[block], self._scales[block]
                if rows is not None and factors is not None:
                    codes[at] = rows[row]
                    scales[at] = factors[row]
            return codes, scales
        first, last = int(entries[0]) >> _BLOCK_BITS, int(entries[-1]) >> _BLOCK_BITS
        edges = np.searchsorted(entries, np.arange(first, last + 2) << _BLOCK_BITS).tolist()
        for block, begin, end in zip(range(first, last + 1), edges, edges[1:], strict=False):
            rows, factors = self._codes[block], self._scales[block]
            if begin < end and rows is not None and factors is not None:
                within = entries[begin:end] & (_BLOCK - 1)
                rows.take(within, axis=0, out=codes[begin:end], mode="clip")
                factors.take(within, out=scales[begin:end], mode="clip")
        return codes, scales
