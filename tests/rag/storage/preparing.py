"""Documents as ingest would hand them over, made from a few words."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from rag.ports import Chunk, Prepared, Put

if TYPE_CHECKING:
    from rag.ports import Vectors

AT = datetime(2026, 11, 5, 12, tzinfo=UTC)


def prepared(*texts: str, dimensions: int = 4, encoder: str = "e1") -> Prepared:
    """A chunk for each text; its words are those between blanks."""
    whole, chunks = "\n".join(texts), []
    start = 0
    for text in texts:
        chunks.append(Chunk(start, start + len(text), "Where it stands", len(text.split())))
        start += len(text) + 1
    return Prepared(
        text=whole,
        tokens=len(whole.split()),
        chunks=tuple(chunks),
        words=tuple(Counter(text.split()) for text in texts),
        vectors=np.array([vector(text, dimensions) for text in texts], np.float32).reshape(-1, dimensions),
        encoder=encoder,
        chunker="c1",
    )


def vector(text: str, dimensions: int = 4) -> Vectors:
    """Of length one, the same for the same text."""
    seed = int.from_bytes(blake2b(text.encode(), digest_size=4).digest(), "big")
    found = np.random.default_rng(seed).normal(size=dimensions).astype(np.float32)
    return np.asarray(found / np.linalg.norm(found), dtype=np.float32)


def put(filename: str, *texts: str, replaces: str = "", **attributes: str | float | bool) -> Put:
    return Put(
        filename=filename,
        content=filename.encode(),
        updated_at=AT,
        prepared=prepared(*texts),
        attributes=attributes,
        replaces=replaces,
    )
