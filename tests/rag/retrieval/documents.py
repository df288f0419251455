"""Documents that searches find: their words are the product's, their meaning is chosen by the test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from rag.ports import Chunk, Prepared, Put, indexed
from rag.retrieval.words import counted

if TYPE_CHECKING:
    from rag.ports import Vectors

AT = datetime(2026, 11, 5, 12, tzinfo=UTC)
ENCODER = "e1"
TOPICS = ("boots", "fees", "shops", "staff")
"""A text means what it has of these, in equal parts; and a little of nothing."""


def meaning(text: str) -> Vectors:
    """Of length one, (len(TOPICS) + 1,)."""
    found = np.array([*(text.lower().count(topic) > 0 for topic in TOPICS), 0.1], np.float32)
    return np.asarray(found / np.linalg.norm(found), np.float32)


def put(filename: str, *texts: str, encoder: str = ENCODER, context: str = "") -> Put:
    """A document with a chunk for each text."""
    chunks: list[Chunk] = []
    start = 0
    for text in texts:
        chunks.append(Chunk(start, start + len(text), context, len(text.split())))
        start += len(text) + 1
    return Put(
        filename=filename,
        content="\n".join(texts).encode(),
        updated_at=AT,
        prepared=Prepared(
            text="\n".join(texts),
            tokens=sum(chunk.tokens for chunk in chunks),
            chunks=tuple(chunks),
            words=tuple(counted(indexed(context, text)) for text in texts),
            vectors=_stacked(texts),
            encoder=encoder,
            chunker="c1",
        ),
    )


def _stacked(texts: Sequence[str]) -> Vectors:
    return np.stack([meaning(text) for text in texts])
