"""Vectors that are known are not computed, and those that were computed are known to the next try."""

from __future__ import annotations

import numpy as np
import pytest

from rag.ingesting.embedding import AT_ONCE, Embedding
from rag.ports import Storage, indexed
from tests.rag.ingesting.counting import DIMENSIONS, VERSION, CountingEncoder

PIECES = [("Guide", f"text {number}") for number in range(2 * AT_ONCE + 10)]


def _embedding(storage: Storage, encoder: CountingEncoder, version: str = VERSION) -> Embedding:
    return Embedding(storage, encoder, version, DIMENSIONS)


async def test_vectors_come_in_order_and_equal_texts_are_encoded_once(storage: Storage) -> None:
    encoder = CountingEncoder()
    pieces = [("a", "one"), ("", "two"), ("a", "one"), ("b", "one")]
    encoded = await _embedding(storage, encoder).vectors("acme", pieces)
    assert sorted(encoder.texts) == ["a\none", "b\none", "two"]
    assert encoded.computed == 3
    np.testing.assert_array_equal(encoded.vectors, CountingEncoder()([indexed(*piece) for piece in pieces]))


async def test_no_texts_have_no_vectors(storage: Storage) -> None:
    encoded = await _embedding(storage, CountingEncoder()).vectors("acme", [])
    assert encoded.vectors.shape == (0, DIMENSIONS)


async def test_what_was_computed_before_a_failure_is_known_afterwards(storage: Storage) -> None:
    def fail_late(texts: object) -> None:
        if len(encoder.texts) >= 2 * AT_ONCE:
            raise RuntimeError("killed")

    encoder = CountingEncoder(fail_late)
    with pytest.raises(RuntimeError):
        await _embedding(storage, encoder).vectors("acme", PIECES)
    again = CountingEncoder()
    encoded = await _embedding(storage, again).vectors("acme", PIECES)
    assert (len(again.texts), encoded.computed) == (10, 10)
    expected = CountingEncoder()([indexed(*piece) for piece in PIECES])
    np.testing.assert_allclose(encoded.vectors, expected, atol=1e-3)

    await storage.clear_stage("acme", encoded.staged)
    assert (await _embedding(storage, CountingEncoder()).vectors("acme", PIECES)).computed == len(PIECES)


async def test_another_encoder_and_another_tenant_know_nothing_of_it(storage: Storage) -> None:
    await _embedding(storage, CountingEncoder()).vectors("acme", PIECES[:3], stage_last=True)
    assert (await _embedding(storage, CountingEncoder()).vectors("acme", PIECES[:3])).computed == 0
    assert (await _embedding(storage, CountingEncoder()).vectors("globex", PIECES[:3])).computed == 3
    assert (await _embedding(storage, CountingEncoder(), "other").vectors("acme", PIECES[:3])).computed == 3
