"""Bytes of a document's words and vectors."""

from __future__ import annotations

import numpy as np

from rag.index.packing import numbers, pack_vectors, pack_words, unpack_vectors, unpack_words


def test_words_come_back_chunk_by_chunk() -> None:
    chunks = [{"one": 1, "zwölf": 70_000}, {}, {"one": 2}]
    packed = unpack_words(pack_words(chunks))
    assert numbers(packed.sizes).tolist() == [2, 0, 1]
    words = [packed.words[at] for at in numbers(packed.places)]
    assert list(zip(words, numbers(packed.counts).tolist(), strict=True)) == [
        ("one", 1),
        ("zwölf", 70_000),
        ("one", 2),
    ]


def test_vectors_come_back_as_near_as_float16_is() -> None:
    vectors = np.random.default_rng(0).normal(size=(3, 8)).astype(np.float32)
    again = unpack_vectors(pack_vectors(vectors), 3)
    assert np.allclose(again, vectors, rtol=1e-3, atol=1e-4)
    assert pack_vectors(again.astype(np.float32)) == pack_vectors(vectors)
