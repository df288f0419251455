"""A large scope's candidates: an inverted file over 4-bit product codes, by FAISS. The only file that calls it.

The non-obvious decision: FAISS holds no vectors, only 4 bits for every 4 dimensions, which one instruction compares
for 32 entries; the few candidates that look best are compared again, exactly, with the int8 vectors that the cache
keeps anyway. That is three times as fast as scanning int8 lists and takes 80 bytes for an entry, not 500. The codes
are of whole vectors, not of what remains after the list's centre: as good here, and one table serves all lists.

FAISS's own removal from such lists goes through all of them, milliseconds for a million. The caller knows the list
of each entry, so here the list's last entry takes the place of the removed one: microseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cache.index.vectors import Entries, Floats

SAMPLE_PER_LIST = 16
PROBES = 16
"""Lists that a search goes through: 0.999 and more of the neighbours from 0.9 on, measured on a million."""
MOST_LISTS = 8192
_CANDIDATES = 48
_CANDIDATES_PER_WANTED = 8
_ROUNDS = 8
_BITS = 4
_CODE_SAMPLE = 16_384
_FLAT_LISTS = 512
"""From here on the nearest centres are found through product codes as well."""
_SECOND_LOOK = 4
_BLOCK = 32
_LEAST_BLOCKS = 8


def lists_for(entries: int) -> int:
    """Four times the root, so that as many centres are compared as codes, in cost."""
    return max(1, min(MOST_LISTS, int(4 * entries**0.5), entries // 8))


def library() -> Any:
    """FAISS, held to one thread in the thread that asks. Imported here, so that who needs none has none."""
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    return faiss


class Lists:
    """`sample` (n, dimensions) is what it learns from; seconds for tens of thousands. Add what it shall find.

    Learning and adding many at once let other threads run meanwhile. For one thread at a time.
    """

    def __init__(self, sample: Floats, lists: int) -> None:
        self._faiss = faiss = library()
        dimensions = sample.shape[1]
        self._part = next(part for part in (4, 3, 2, 1) if dimensions % part == 0)
        centres = self._centres(sample, lists)
        self._nearest = self._coarse(centres)
        self._index = faiss.IndexIVFPQFastScan(
            self._nearest, dimensions, len(centres), dimensions // self._part, _BITS, faiss.METRIC_INNER_PRODUCT
        )
        self._index.by_residual = False
        self._index.own_fields = False  # else FAISS would free `_nearest` a second time
        self._index.pq.cp.min_points_per_centroid = 1
        self._index.train(sample[:_CODE_SAMPLE])
        self._invlists = faiss.downcast_InvertedLists(self._index.invlists)
        self._packer = self._invlists.packer
        self._spare = np.empty(self._packer.code_size, np.uint8)
        self._sizes = np.zeros(len(centres), np.int64)
        self._search = faiss.SearchParametersIVF(nprobe=min(PROBES, len(centres)))
        self._fixed_bytes = 2 * centres.nbytes

    def __len__(self) -> int:
        return int(self._sizes.sum())

    @property
    def bytes(self) -> int:
        """FAISS doubles codes and numbers of a list as it grows, and gives codes back as it shrinks."""
        size = self._packer.code_size
        blocks = np.maximum(-(-self._sizes // _BLOCK), 1)
        codes = np.maximum(2 ** np.ceil(np.log2(blocks)), _LEAST_BLOCKS / 4) * _BLOCK * size
        numbers = 8 * 2 ** np.ceil(np.log2(np.maximum(self._sizes, 1)))
        return int(codes.sum() + numbers.sum()) + self._fixed_bytes

    def add(self, entries: Entries, vectors: Floats) -> NDArray[np.int64]:
        """The list that each of `entries` is in from now on."""
        places: NDArray[np.int64] = self._nearest.search(vectors, 1)[1].ravel()
        self._index.add_with_ids(vectors, entries.astype(np.int64))
        self._sizes += np.bincount(places, minlength=len(self._sizes))
        return places

    def remove(self, entry: int, place: int) -> None:
        """KeyError where `entry` is not in the list `place`."""
        size = int(self._sizes[place])
        numbers = self._faiss.rev_swig_ptr(self._invlists.get_ids(place), size) if size else np.empty(0, np.int64)
        found = np.flatnonzero(numbers == entry)
        if not len(found):
            raise KeyError(entry)
        at, last = int(found[0]), size - 1
        codes, spare = self._invlists.get_codes(place), self._faiss.swig_ptr(self._spare)
        if at != last:
            self._packer.unpack_1_c(codes, last, spare)
            self._packer.pack_1_c(spare, at, codes)
            numbers[at] = numbers[last]
        self._spare.fill(0)  # FAISS adds by "or", so what is behind the end has to be zero
        self._packer.pack_1_c(spare, last, codes)
        self._invlists.resize(place, last)
        self._index.ntotal -= 1
        self._sizes[place] = last

    def candidates(self, query: Floats, k: int) -> NDArray[np.int64]:
        """Entries that look nearest, enough for the `k` nearest to be among them."""
        most = max(_CANDIDATES, k * _CANDIDATES_PER_WANTED)
        found: NDArray[np.int64] = self._index.search(query[None], most, params=self._search)[1][0]
        return found[found >= 0]

    def _centres(self, sample: Floats, lists: int) -> Floats:
        """k-means in two levels: with the root of `lists` first, then within each: sixty times less for 4,096."""
        if lists < _FLAT_LISTS:
            return self._means(sample, lists)
        top = self._means(sample, round(lists**0.5))
        group = self._faiss.knn(sample, top, 1, self._faiss.METRIC_INNER_PRODUCT)[1].ravel()
        parts = [sample[group == number] for number in range(len(top))]
        shares = [max(1, round(len(part) / len(sample) * lists)) for part in parts]
        return np.concatenate([self._means(p, share) for p, share in zip(parts, shares, strict=True) if len(p)])

    def _means(self, sample: Floats, count: int) -> Floats:
        if len(sample) <= count:
            return sample
        faiss = self._faiss
        clustering = faiss.Clustering(sample.shape[1], count)
        clustering.niter = _ROUNDS
        clustering.spherical = True
        clustering.min_points_per_centroid = 1  # silences a warning
        clustering.max_points_per_centroid = len(sample)
        clustering.train(sample, faiss.IndexFlatIP(sample.shape[1]))
        means: Floats = faiss.vector_to_array(clustering.centroids).reshape(count, -1)
        return means

    def _coarse(self, centres: Floats) -> Any:
        """What finds the nearest centres of a vector."""
        faiss, dimensions = self._faiss, centres.shape[1]
        if len(centres) < _FLAT_LISTS:
            flat = faiss.IndexFlatIP(dimensions)
            flat.add(centres)
            return flat
        codes = faiss.IndexPQFastScan(dimensions, dimensions // self._part, _BITS, faiss.METRIC_INNER_PRODUCT)
        codes.pq.cp.min_points_per_centroid = 1
        codes.train(centres)
        codes.add(centres)
        exact = faiss.IndexRefineFlat(codes, faiss.swig_ptr(centres))
        exact.k_factor = _SECOND_LOOK
        self._kept = codes  # `exact` only points to it
        return exact
