"""Which chunks have which words: one segment's part of BM25, in arrays that never change.

The formula is Robertson and Walker's; its numbers, and what a word's rarity counts, are in `rag.rarity`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rag.rarity import K1, B

Numbers = NDArray[np.int32]


class Postings:
    """Of `chunks` chunks, by row. `words` (m,) are numbers of words, `rows` (m,) and `counts` (m,) say where each
    is and how often: in the order of rows, a word once for each chunk. 8 bytes for a chunk's word."""

    def __init__(self, chunks: int, words: Numbers, rows: Numbers, counts: Numbers) -> None:
        self.lengths: Numbers = np.bincount(rows, weights=counts, minlength=chunks).astype(np.int32)
        order = np.argsort(words, kind="stable")
        sorted_words = words[order]
        self.rows: Numbers = rows[order]
        self.counts: Numbers = counts[order]
        first = np.ones(len(words), np.bool_)
        np.not_equal(sorted_words[1:], sorted_words[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        self.words: Numbers = sorted_words[starts]
        self._starts = np.append(starts, len(words))

    @property
    def bytes(self) -> int:
        arrays = (self.lengths, self.rows, self.counts, self.words, self._starts)
        return sum(array.nbytes for array in arrays)

    def of(self, word: int) -> tuple[Numbers, Numbers]:
        """The rows that have it, rising, and how often."""
        at = int(np.searchsorted(self.words, np.int32(word)))
        if at == len(self.words) or self.words[at] != word:
            return self.rows[:0], self.counts[:0]
        span = slice(int(self._starts[at]), int(self._starts[at + 1]))
        return self.rows[span], self.counts[span]

    def every(self) -> tuple[Numbers, Numbers, Numbers]:
        """Words, rows and counts, in the order of words."""
        return np.repeat(self.words, np.diff(self._starts)), self.rows, self.counts


def dampening(lengths: Numbers, mean_length: float) -> NDArray[np.float64]:
    """What a count is put beside, by row: more in long chunks."""
    damped: NDArray[np.float64] = K1 * (1 - B + (B / max(mean_length, 1e-9)) * lengths.astype(np.float64))
    return damped
