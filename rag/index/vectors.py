"""The vectors of one segment, and which of them are nearest: all are compared while few, by their codes when many.

The non-obvious decision: many vectors are compared by 4-bit product codes, all of them, and the best candidates
again with their vectors. One instruction compares 32 codes, so 100,000 are half a millisecond; no lists, no graph,
nothing to learn but sixteen centres for every four dimensions. For each dimension a segment holds 2 bytes and an
eighth. Without FAISS the vectors are only kept: who has none has no encoder either, and compares words.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAT_UNTIL = 4096
_SAMPLE = 16_384
_CANDIDATES_PER_WANTED = 16
_MASKED_PER_WANTED = 8
_MOST_EXACT = 16_384
_ROWS_AT_ONCE = 8192

Mask = NDArray[np.bool_]
Found = tuple[NDArray[np.int64], NDArray[np.float32]]


class SegmentVectors:
    """`vectors` (n, dimensions) are float16, their rows of length one."""

    def __init__(self, vectors: NDArray[np.float16], flat_until: int = FLAT_UNTIL) -> None:
        self._shape: tuple[int, int] = vectors.shape[0], vectors.shape[1]
        self._kept: NDArray[np.float16] | None = None
        self._exact: Any = None
        self._codes: Any = None
        if find_spec("faiss") is None:
            self._kept = vectors
            return
        faiss = _faiss()
        count, dimensions = self._shape
        self._exact = faiss.IndexScalarQuantizer(
            dimensions, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        if count > flat_until:
            self._codes = _untrained_codes(dimensions)
            chosen = np.random.default_rng(0).permutation(count)[:_SAMPLE]
            self._codes.train(vectors[np.sort(chosen)].astype(np.float32))
        for begin in range(0, count, _ROWS_AT_ONCE):
            some = vectors[begin : begin + _ROWS_AT_ONCE].astype(np.float32)
            for index in (self._exact, self._codes):
                if index is not None:
                    index.add(some)
        if self._codes is not None:
            self._refined = faiss.IndexRefine(self._codes, self._exact)

    @property
    def vectors(self) -> NDArray[np.float16]:
        """(n, dimensions), as they were given; read only as long as this is there."""
        if self._kept is not None:
            return self._kept
        count, dimensions = self._shape
        codes = _faiss().rev_swig_ptr(self._exact.codes.data(), 2 * count * dimensions)
        found: NDArray[np.float16] = codes.view(np.float16).reshape(self._shape)
        return found

    @property
    def bytes(self) -> int:
        count, dimensions = self._shape
        return 2 * count * dimensions + (count * dimensions // 8 if self._codes is not None else 0)

    def nearest(self, query: NDArray[np.float32], most: int, mask: Mask | None) -> Found:
        """Up to `most` rows that `mask` holds for, and their similarities: the best, the best first."""
        count = self._shape[0]
        allowed = count if mask is None else int(np.count_nonzero(mask))
        most = min(most, allowed)
        if not most or self._exact is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        if self._codes is None or allowed <= _MOST_EXACT:
            return self._compared(query, most, mask)
        # Codes know no mask: the fewer rows it leaves, the more candidates there have to be.
        per_wanted = _CANDIDATES_PER_WANTED if mask is None else _MASKED_PER_WANTED
        candidates = per_wanted * most * count // allowed
        if candidates >= count // 4:
            return self._compared(query, most, mask)
        wanted = most if mask is None else most * count // allowed * 2
        faiss = _faiss()
        parameters = faiss.IndexRefineSearchParameters(k_factor=max(1.0, candidates / wanted))
        similarities, rows = self._refined.search(query[None], wanted, params=parameters)
        kept = rows[0] >= 0 if mask is None else (rows[0] >= 0) & mask[rows[0]]
        if np.count_nonzero(kept) < most:
            return self._compared(query, most, mask)
        return rows[0][kept][:most], similarities[0][kept][:most]

    def _compared(self, query: NDArray[np.float32], most: int, mask: Mask | None) -> Found:
        """By looking at all that the mask leaves."""
        faiss, parameters = _faiss(), None
        if mask is not None:
            bits = np.packbits(mask, bitorder="little")
            selector = faiss.IDSelectorBitmap(len(mask), faiss.swig_ptr(bits))
            parameters = faiss.SearchParameters(sel=selector)
        similarities, rows = self._exact.search(query[None], most, params=parameters)
        kept = rows[0] >= 0
        return rows[0][kept], similarities[0][kept]


def _untrained_codes(dimensions: int) -> Any:
    faiss = _faiss()
    part = next(part for part in (4, 3, 2, 1) if dimensions % part == 0)
    codes = faiss.IndexPQFastScan(dimensions, dimensions // part, 4, faiss.METRIC_INNER_PRODUCT)
    codes.pq.cp.min_points_per_centroid = 1  # silences a warning
    return codes


def _faiss() -> Any:
    """Held to one thread in the thread that asks. Imported here, so that who needs none has none."""
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    return faiss
