"""Documents of a store, indexed together once and never changed: what changes is which of them count.

The non-obvious decision: nothing is ever taken out of a segment. A document that has gone, or has a newer version
in another segment, is masked by whoever looks (`rag.index.snapshot`), and is left out when segments are merged. So
a search needs no lock, whatever is loaded beside it. All documents of a segment were encoded by one encoder.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import count
from threading import Lock
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from rag.filters import matches
from rag.index.packing import numbers, unpack_vectors, unpack_words
from rag.index.postings import Postings
from rag.index.vectors import Mask, SegmentVectors

_KEPT_FILTERS = 8
_BYTES_OF_A_DOCUMENT = 700


class Indexed(Struct, frozen=True):
    """A document as the index knows it. Its chunks are numbered from `first_chunk`."""

    file_id: str
    revision: int
    first_chunk: int
    chunks: int
    encoder: str
    attributes: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, int]:
        return self.file_id, self.revision


class Vocabulary:
    """Numbers of words, the same for all segments of a store. Only one thread at a time adds to it."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, int] = defaultdict(count().__next__)

    @property
    def bytes(self) -> int:
        """About what a dictionary takes for a word of eight letters and its number."""
        return 150 * len(self.numbers)

    def of(self, words: Sequence[str]) -> NDArray[np.int32]:
        """Those that are not there yet get the next number."""
        return np.array(list(map(self.numbers.__getitem__, words)), np.int32)


class Segment:
    """`documents` in the order of their rows; `vectors` is None where they have none."""

    def __init__(self, documents: Sequence[Indexed], postings: Postings, vectors: SegmentVectors | None) -> None:
        self.documents = tuple(documents)
        self.postings = postings
        self.vectors = vectors
        self.encoder = documents[0].encoder if documents else ""
        sizes = np.array([document.chunks for document in documents], np.int64)
        self.ends = np.cumsum(sizes)
        self.owners = np.repeat(np.arange(len(documents), dtype=np.int32), sizes)
        firsts = np.array([document.first_chunk for document in documents], np.int64)
        self.chunks = np.arange(len(self.owners), dtype=np.int64) + np.repeat(firsts - (self.ends - sizes), sizes)
        self._filtered: dict[bytes, Mask] = {}
        self._filtering = Lock()  # searches come from several threads

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def bytes(self) -> int:
        vectors = self.vectors.bytes if self.vectors is not None else 0
        own = self.owners.nbytes + self.chunks.nbytes + _BYTES_OF_A_DOCUMENT * len(self.documents)
        return int(self.postings.bytes + vectors + own + _KEPT_FILTERS * len(self))

    def rows_of(self, documents: Mask) -> Mask:
        """Which rows are of these documents."""
        return documents[self.owners]

    def matching(self, filters: Mapping[str, Any]) -> Mask:
        """Rows of documents that filters leave. The last few filters are remembered."""
        key = msgspec.json.encode(filters, order="deterministic")
        mask = self._filtered.get(key)
        if mask is None:
            fitting = (matches(filters, document.attributes) for document in self.documents)
            mask = self.rows_of(np.fromiter(fitting, np.bool_, len(self.documents)))
            with self._filtering:
                while len(self._filtered) >= _KEPT_FILTERS:
                    del self._filtered[next(iter(self._filtered))]
                self._filtered[key] = mask
        return mask


def loaded(documents: Sequence[tuple[Indexed, bytes, bytes]], vocabulary: Vocabulary) -> Segment:
    """From documents with their packed words and vectors, all by the same encoder."""
    words, rows, counts, vectors = [], [], [], []
    first = 0
    for document, packed_words, packed_vectors in documents:
        packed = unpack_words(packed_words)
        words.append(vocabulary.of(packed.words)[numbers(packed.places)])
        own = np.arange(first, first + document.chunks, dtype=np.int32)
        rows.append(np.repeat(own, numbers(packed.sizes)))
        counts.append(numbers(packed.counts).astype(np.int32))
        if document.chunks and packed_vectors:
            vectors.append(unpack_vectors(packed_vectors, document.chunks))
        first += document.chunks
    postings = Postings(first, np.concatenate(words), np.concatenate(rows), np.concatenate(counts))
    whole = SegmentVectors(np.concatenate(vectors)) if vectors else None
    return Segment([document for document, _, _ in documents], postings, whole)


def merged(parts: Sequence[tuple[Segment, Mask]]) -> Segment:
    """One segment of those documents of each part that its mask (by document) holds for."""
    documents: list[Indexed] = []
    words, rows, counts, vectors = [], [], [], []
    first = 0
    for segment, mask in parts:
        documents += [document for document, kept in zip(segment.documents, mask.tolist(), strict=True) if kept]
        kept_rows = segment.rows_of(mask)
        places = np.cumsum(kept_rows, dtype=np.int32) - 1 + first
        all_words, all_rows, all_counts = segment.postings.every()
        kept_postings = kept_rows[all_rows]
        words.append(all_words[kept_postings])
        rows.append(places[all_rows[kept_postings]].astype(np.int32))
        counts.append(all_counts[kept_postings])
        if segment.vectors is not None:
            vectors.append(segment.vectors.vectors[kept_rows])
        first += int(np.count_nonzero(kept_rows))
    postings = Postings(first, np.concatenate(words), np.concatenate(rows), np.concatenate(counts))
    whole = SegmentVectors(np.concatenate(vectors)) if vectors else None
    return Segment(documents, postings, whole)
