"""A document's words and vectors as bytes, the way that the index in memory reads them by the thousand.

The non-obvious decision: words are written once for a document, and its chunks name them by their place in that
list, as arrays of whole numbers. So loading looks each word of a document up once, and numpy does the rest. Vectors
are float16: half of the disk and the memory, and cosines differ by less than 0.001.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rag.ports import Vectors


class PackedWords(Struct, frozen=True, array_like=True):
    """`words` of a document; per chunk, how many different ones (uint32); per chunk and word, its place in `words`
    and its count (uint32 each), chunk after chunk."""

    words: list[str]
    sizes: bytes
    places: bytes
    counts: bytes


_DECODER = msgspec.msgpack.Decoder(PackedWords)


def pack_words(chunks: Sequence[Mapping[str, int]]) -> bytes:
    words: dict[str, int] = {}
    places = [words.setdefault(word, len(words)) for chunk in chunks for word in chunk]
    counts = [count for chunk in chunks for count in chunk.values()]
    return msgspec.msgpack.encode(
        PackedWords(list(words), _numbers([len(chunk) for chunk in chunks]), _numbers(places), _numbers(counts))
    )


def unpack_words(packed: bytes) -> PackedWords:
    return _DECODER.decode(packed)


def numbers(packed: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(packed, "<u4")


def pack_vectors(vectors: Vectors) -> bytes:
    return vectors.astype("<f2").tobytes()


def unpack_vectors(packed: bytes, chunks: int) -> NDArray[np.float16]:
    """(chunks, dimensions)"""
    return np.frombuffer(packed, "<f2").reshape(chunks, -1)


def _numbers(values: Sequence[int]) -> bytes:
    return np.asarray(values, "<u4").tobytes()
