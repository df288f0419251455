"""Vectors of chunks: taken from where they are known, computed where they are not, and staged meanwhile.

What was computed is staged some hundreds at a time, so that an ingest that is killed goes on where it was. The
network runs in a thread, for one caller at a time: between two batches another document may come in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rag.ports import Storage, indexed, vector_key

if TYPE_CHECKING:
    from rag.ports import Encode, Vectors

AT_ONCE = 128
"""Chunks that are encoded, and staged, together."""
_ASKED = 1000


@dataclass(frozen=True)
class Encoded:
    """Vectors in the order of the chunks, how many had to be computed, and the keys that are staged."""

    vectors: Vectors
    computed: int
    staged: tuple[bytes, ...]


class Embedding:
    """`encode` is the encoder of `version`; its vectors have `dimensions`."""

    def __init__(self, storage: Storage, encode: Encode, version: str, dimensions: int) -> None:
        self.version = version
        self._storage = storage
        self._encode = encode
        self._dimensions = dimensions
        self._turn = asyncio.Lock()

    async def vectors(self, tenant: str, pieces: Sequence[tuple[str, str]], *, stage_last: bool = False) -> Encoded:
        """Of `pieces`, each a context and a text. Where a step follows at once, the last batch is not worth
        staging."""
        keys = [vector_key(self.version, context, text) for context, text in pieces]
        wanted = dict(zip(keys, pieces, strict=True))
        unique = list(wanted)
        known: dict[bytes, bytes] = {}
        for start in range(0, len(unique), _ASKED):
            known |= await self._storage.staged(tenant, unique[start : start + _ASKED])
        taken = tuple(known)
        missing = [key for key in unique if key not in known]
        staged: list[bytes] = []
        for start in range(0, len(missing), AT_ONCE):
            batch = missing[start : start + AT_ONCE]
            async with self._turn:
                rows = await asyncio.to_thread(self._encode, [indexed(*wanted[key]) for key in batch])
            fresh = {key: row.tobytes() for key, row in zip(batch, rows.astype("<f4", copy=False), strict=True)}
            if stage_last or start + AT_ONCE < len(missing):
                await self._storage.stage(tenant, fresh)
                staged += batch
            known |= fresh
        joined = np.frombuffer(b"".join(known[key] for key in keys), "<f4")
        return Encoded(joined.reshape(len(keys), self._dimensions), len(missing), (*taken, *staged))
