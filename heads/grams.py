"""The n-grams of a text as numbers: words, pairs of words, and runs of three and four characters.

The non-obvious decision: n-grams are 32-bit hashes from the start, and a head keeps the sorted hashes of those that
it has learned. No text is stored, two n-grams rarely share a hash, and no language has to be known: where a script
puts no spaces between words, the runs of characters carry the meaning.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

MOST_CHARACTERS = 2_000
"""What is looked at of a text; the rest of a longer one is not read."""
RUNS = (3, 4)
"""Characters in a run."""

Hashes = NDArray[np.uint32]

_WORDS = re.compile(r"\w+|[^\w\s]")
_FACTOR = np.uint32(0x9E3779B1)  # 2^32 over the golden ratio: multiplying by it spreads neighbours (Knuth, 6.4)
_TURN = np.uint32(15)


class Vocabulary(Struct, frozen=True):
    """N-grams of one kind that a head knows: `hashes` ascending, and how rare each is (its idf)."""

    hashes: Hashes
    rarity: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.hashes.shape != self.rarity.shape or bool((self.hashes[1:] <= self.hashes[:-1]).any()):
            raise ValueError("the n-grams are not in order, or not as many as their weights")

    def of(self, grams: Hashes) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The places of the known ones among `grams`, ascending, and tf-idf values of length one.

        (1 + log count) * idf, as in Manning, Raghavan and Schuetze 2008, 6.4.
        """
        found, counts = np.unique(grams, return_counts=True)
        places = np.searchsorted(self.hashes, found)
        known = places < len(self.hashes)
        known[known] = self.hashes[places[known]] == found[known]
        places = places[known]
        values = ((1 + np.log(counts[known])) * self.rarity[places]).astype(np.float32)
        return places, values / np.float32(max(float(np.linalg.norm(values)), 1e-12))


def word_grams(text: str) -> Hashes:
    """The hashes of the words of a text and of neighbours among them, with its ends as words; repeats stay."""
    words = np.array([_hash(word) for word in _words(text)], np.uint32)
    ends = np.concatenate([np.array([1], np.uint32), words, np.array([2], np.uint32)])
    return np.concatenate([words, _mixed(ends[:-1], ends[1:])])


def character_grams(text: str) -> Hashes:
    """The hashes of all runs of `RUNS` characters, words parted by one space; repeats stay."""
    spaced = f" {' '.join(_words(text))} "
    points = np.frombuffer(spaced.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.concatenate(list(_runs(points)))


def _runs(points: Hashes) -> Iterator[Hashes]:
    for length in RUNS:
        count = max(0, len(points) - length + 1)
        mixed = np.full(count, length, np.uint32)
        for offset in range(length):
            mixed = _mixed(mixed, points[offset : offset + count])
        yield mixed


def _mixed(one: Hashes, other: Hashes) -> Hashes:
    mixed: Hashes = ((one ^ (one >> _TURN)) * _FACTOR) ^ (other * np.uint32(0x85EBCA6B))
    return mixed ^ (mixed >> np.uint32(13))


def _words(text: str) -> list[str]:
    return _WORDS.findall(unicodedata.normalize("NFKC", text[:MOST_CHARACTERS]).lower()[:MOST_CHARACTERS])


def _hash(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
