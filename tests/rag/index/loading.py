"""A store in memory as its database would hand it over, and the same as a plain dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import KeysView

import numpy as np

from contracts.retrieval import StoreState
from rag.index.memory import Changes
from rag.index.packing import pack_vectors, pack_words
from rag.index.segment import Indexed


class Shop:
    """Documents by file id. `loads` counts; while `held`, a load waits; while `broken`, it fails."""

    def __init__(self, chunks: int = 3) -> None:
        self.documents: dict[str, tuple[Indexed, bytes, bytes]] = {}
        self.revision = 0
        self.loads: list[int] = []
        self.held: asyncio.Event | None = None
        self.broken = False
        self._chunks = chunks
        self._next = 1

    def put(self, file_id: str, *words: str, encoder: str = "e1") -> None:
        """A chunk that has all the words, and others that have none of them."""
        self.revision += 1
        chunks = [dict.fromkeys(words, 1), *({f"other{self._next}": 2} for _ in range(self._chunks - 1))]
        vectors = np.random.default_rng(self._next).normal(size=(self._chunks, 8))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        document = Indexed(file_id, self.revision, self._next, self._chunks, encoder, {"n": len(words)})
        self.documents[file_id] = document, pack_words(chunks), pack_vectors(vectors.astype(np.float32))
        self._next += self._chunks

    def drop(self, file_id: str) -> None:
        self.revision += 1
        del self.documents[file_id]

    async def load(self, since: int, known: KeysView[str]) -> Changes:
        if self.held is not None:
            await self.held.wait()
        if self.broken:
            raise ConnectionError("away")
        found = [one for one in self.documents.values() if one[0].revision > since]
        self.loads.append(len(found))
        gone = len({*known, *(one[0].file_id for one in found)}) != len(self.documents)
        state = StoreState(id="vs_1", revision=self.revision, version="")
        return Changes(state, found, set(self.documents) if gone else None)
