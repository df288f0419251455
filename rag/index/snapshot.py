"""A store in memory as it was at one revision: what a search looks at, and nothing changes it while it does.

The non-obvious decision: BM25 is exact at all times. Frequencies of words and the mean length are those of the
chunks that count now, over all segments, and what is remembered goes with the snapshot. Equal scores are in the
order of chunks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.retrieval import StoreState
from rag.index.postings import Numbers, dampening
from rag.index.segment import Segment, Vocabulary
from rag.index.vectors import Mask
from rag.ports import Ranked, WordCounts
from rag.rarity import K1, idf

_BLOCK = 64
_FREQUENT = 500
_KEPT_PER_CHUNK = 16
"""Shares of frequent words: 128 bytes for a chunk at most."""


class Part:
    """A segment, and which of its documents count."""

    def __init__(self, segment: Segment, documents: Mask) -> None:
        self.segment = segment
        self.documents = documents
        self.rows: Mask | None = None if documents.all() else segment.rows_of(documents)
        lengths = segment.postings.lengths if self.rows is None else segment.postings.lengths[self.rows]
        self.chunks = len(lengths)
        self.words = int(lengths.sum())

    def counting(self, rows: Numbers) -> int:
        """How many of these count."""
        return len(rows) if self.rows is None else int(np.count_nonzero(self.rows[rows]))

    def allowed(self, filters: Mapping[str, Any] | None) -> Mask | None:
        """Rows that count and that `filters` leave; None for all."""
        if filters is None:
            return self.rows
        fitting = self.segment.matching(filters)
        return fitting if self.rows is None else fitting & self.rows


class Snapshot:
    """`encoder` made the vectors that are searched."""

    def __init__(self, state: StoreState, parts: Sequence[Part], vocabulary: Vocabulary, encoder: str = "") -> None:
        self.state = state
        self.parts = tuple(part for part in parts if part.chunks)
        self.encoder = encoder
        self.chunks = sum(part.chunks for part in self.parts)
        self.mean_length = sum(part.words for part in self.parts) / self.chunks if self.chunks else 0.0
        self._vocabulary = vocabulary
        self._kept: dict[tuple[int, int], NDArray[np.float64]] = {}
        self._kept_size = 0

    @cached_property
    def _dampening(self) -> list[NDArray[np.float64]]:
        return [dampening(part.segment.postings.lengths, self.mean_length) for part in self.parts]

    def counts(self, words: Sequence[str]) -> WordCounts:
        return WordCounts(self.chunks, self.mean_length, {word: self._having(word) for word in words})

    def by_words(
        self, words: Mapping[str, float], most: int, filters: Mapping[str, Any] | None = None
    ) -> list[Ranked]:
        """The best by BM25; only chunks that have one of the words."""
        having = {}
        for word, weight in words.items():
            number = self._vocabulary.numbers.get(word)
            if number is not None and weight:
                places = [part.segment.postings.of(number) for part in self.parts]
                total = sum(part.counting(rows) for part, (rows, _) in zip(self.parts, places, strict=True))
                having[number] = (places, weight * idf(self.chunks, total) * (K1 + 1))
        found: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
        for at, part in enumerate(self.parts):
            some = {number: (*places[at], weight) for number, (places, weight) in having.items()}
            scores = self._scores(at, some)
            if scores is not None:
                allowed = part.allowed(filters)
                if allowed is not None:
                    scores[~allowed] = 0.0
                rows = _best_above_zero(scores, most)
                found.append((part.segment.chunks[rows], scores[rows]))
        return _ranked(found, most)

    def by_meaning(
        self, vector: NDArray[np.float32], most: int, filters: Mapping[str, Any] | None = None
    ) -> list[Ranked]:
        """The best by cosine, of chunks that `encoder` encoded. Raises ValueError for other dimensions."""
        query = np.ascontiguousarray(vector, np.float32)
        found = []
        for part in self.parts:
            vectors = part.segment.vectors
            if vectors is None or part.segment.encoder != self.encoder:
                continue
            rows, similarities = vectors.nearest(query, most, part.allowed(filters))
            found.append((part.segment.chunks[rows], similarities.astype(np.float64)))
        return _ranked(found, most)

    def _having(self, word: str) -> int:
        number = self._vocabulary.numbers.get(word)
        if number is None:
            return 0
        return sum(part.counting(part.segment.postings.of(number)[0]) for part in self.parts)

    def _scores(self, at: int, words: Mapping[int, tuple[Numbers, Numbers, float]]) -> NDArray[np.float64] | None:
        """(rows,) of the part `at`; None where no chunk has any of the words."""
        all_rows, shares = [], []
        for number, (rows, counts, weight) in words.items():
            if len(rows):
                all_rows.append(rows)
                shares.append(self._shares(at, number, rows, counts) * weight)
        if not all_rows:
            return None
        size = len(self._dampening[at])
        weighted: Any = np.bincount(np.concatenate(all_rows), weights=np.concatenate(shares), minlength=size)
        scores: NDArray[np.float64] = weighted
        return scores

    def _shares(self, at: int, number: int, rows: Numbers, counts: Numbers) -> NDArray[np.float64]:
        """What a word adds to its rows, before its weight. Those of frequent words are remembered: they are what
        queries share, and what takes long."""
        kept = self._kept.get((at, number))
        if kept is None:
            kept = counts / (counts + self._dampening[at][rows])
            if len(rows) > _FREQUENT and self._kept_size + len(rows) <= _KEPT_PER_CHUNK * self.chunks:
                self._kept[at, number] = kept
                self._kept_size += len(rows)
        return kept


def _best_above_zero(scores: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """The places of the `most` largest. The best of blocks bound them, so that few are left to be sorted."""
    blocks = len(scores) // _BLOCK
    bound = 0.0
    if blocks > 2 * most:
        peaks = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        bound = float(np.partition(peaks, blocks - most)[blocks - most])
    rows = np.flatnonzero(scores >= bound if bound > 0 else scores > 0)
    # Equals of the last place stay, for `_ranked` to tell which of them come first.
    if len(rows) > most:
        lowest = float(np.partition(scores[rows], len(rows) - most)[len(rows) - most])
        rows = rows[scores[rows] >= lowest]
    return rows


def _ranked(found: Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]], most: int) -> list[Ranked]:
    if not found:
        return []
    chunks = np.concatenate([chunks for chunks, _ in found])
    scores = np.concatenate([scores for _, scores in found])
    order = np.lexsort((chunks, -scores))[:most]
    return [
        Ranked(chunk, score) for chunk, score in zip(chunks[order].tolist(), scores[order].tolist(), strict=True)
    ]
