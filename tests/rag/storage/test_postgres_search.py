"""What PostgreSQL finds in a store too large to look at everything, beside what looking at everything finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log1p
from typing import TYPE_CHECKING, Any

import asyncpg
import numpy as np
import pytest

from rag.ports import Prepared, Put
from rag.storage.postgres import PostgresStorage
from tests.rag.storage.preparing import AT, prepared

if TYPE_CHECKING:
    from rag.ports import Vectors

_DOCUMENTS, _EACH, _DIMENSIONS = 180, 5, 8
_COMMON = ("each", "every", "all", "any", "both", "most")
_FEW, _MOST = {"type": "lt", "key": "n", "value": 4}, {"type": "gte", "key": "n", "value": 20}
_HALF = {"type": "eq", "key": "even", "value": True}


def _texts(n: int) -> list[str]:
    """Six words are in each chunk, together more rows than are looked at; others are in some."""
    return [
        " ".join([word for at, word in enumerate(_COMMON) for _ in range(1 + place % (at + 2))])
        + f" rare{place % 50} some{place % 8}"
        for place in range(n * _EACH, (n + 1) * _EACH)
    ]


def _puts() -> list[Put]:
    random = np.random.default_rng(5)
    made = []
    for n in range(_DOCUMENTS):
        vectors = random.normal(size=(_EACH, _DIMENSIONS)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cut = prepared(*_texts(n))
        whole = Prepared(
            text=cut.text, tokens=cut.tokens, chunks=cut.chunks, words=cut.words, vectors=vectors, encoder="e1"
        )
        attributes = {"n": n, "even": n % 2 == 0}
        made.append(Put(filename=f"{n}.md", content=b"x", updated_at=AT, prepared=whole, attributes=attributes))
    return made


def _by_words(puts: Sequence[Put], words: Mapping[str, float], of: Callable[[int], bool]) -> list[float]:
    """Scores by BM25 of all chunks of these documents, the best first. N, n and the mean are the whole store's."""
    chunks = [(n, counts) for n, put in enumerate(puts) for counts in put.prepared.words]
    mean = sum(sum(counts.values()) for _, counts in chunks) / len(chunks)
    having = {word: sum(word in counts for _, counts in chunks) for word in words}
    scores = []
    for n, counts in chunks:
        if of(n) and any(word in counts for word in words):
            length = sum(counts.values())
            score = sum(
                weight
                * log1p((len(chunks) - having[word] + 0.5) / (having[word] + 0.5))
                * counts.get(word, 0)
                * 2.2
                / (counts.get(word, 0) + 1.2 * (0.25 + 0.75 * length / mean))
                for word, weight in words.items()
            )
            scores.append(score)
    return sorted(scores, reverse=True)


def _by_meaning(puts: Sequence[Put], vector: Vectors, of: Callable[[int], bool], most: int) -> list[float]:
    scores = np.concatenate([put.prepared.vectors @ vector for n, put in enumerate(puts) if of(n)])
    return sorted(scores.tolist(), reverse=True)[:most]


async def test_it_finds_what_looking_at_everything_finds(postgres_url: str) -> None:
    storage, puts = PostgresStorage(postgres_url), _puts()
    store = await storage.create_store("acme", "docs")
    await storage.change("acme", store.id, puts, [])
    view = await storage.view("acme", "docs")
    common = dict.fromkeys(_COMMON, 1.0)
    asked: list[tuple[Mapping[str, float], Any, Callable[[int], bool]]] = [
        ({"rare7": 1.0, "some3": 0.5}, None, lambda n: True),  # few rows: all are scored
        ({"rare7": 1.0, "nowhere": 1.0} | common, None, lambda n: True),  # candidates by the rarest words
        ({"rare7": 1.0} | common, _FEW, lambda n: n < 4),  # by document
        ({"rare7": 1.0, "some3": 2.0} | common, _MOST, lambda n: n >= 20),  # candidates among documents
    ]
    for words, filters, of in asked:
        found = await view.by_words(words, 10, filters)
        assert [one.score for one in found] == pytest.approx(_by_words(puts, words, of)[:10], abs=1e-6)
    assert await view.by_words({"nowhere": 1.0}, 10) == []
    for filters, of in ((None, lambda n: True), (_HALF, lambda n: n % 2 == 0), (_FEW, lambda n: n < 4)):
        for at in range(10):
            vector = puts[at].prepared.vectors[0]
            scores = [one.score for one in await view.by_meaning(vector, 10, filters)]
            wanted = _by_meaning(puts, vector, of, 10)
            assert len(scores) == 10
            assert sum(scores) >= sum(wanted) - 0.05
    await storage.close()  # what was counted is known when the connections are over
    connection = await asyncpg.connect(postgres_url)
    used = await connection.fetchval(
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname LIKE $1", f"%\\_{_DIMENSIONS}"
    )
    await connection.close()
    assert used == 20  # not where filters left few
