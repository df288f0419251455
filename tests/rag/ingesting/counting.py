"""An encoder whose vectors depend on the text alone, and that keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rag.ports import Vectors

VERSION, DIMENSIONS = "counting-1", 8


class CountingEncoder:
    """`before` is called with each batch; what it raises, the encoder raises."""

    def __init__(self, before: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        self.texts: list[str] = []
        self.before = before

    def __call__(self, texts: Sequence[str]) -> Vectors:
        self.before(texts)
        self.texts += texts
        return np.array([_vector(text) for text in texts], np.float32).reshape(len(texts), DIMENSIONS)


def _vector(text: str) -> Vectors:
    seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest())
    row = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    unit: Vectors = row / np.linalg.norm(row)
    return unit


def words(count: int, about: str) -> str:
    """A paragraph with a word of its own in each sentence."""
    return " ".join(
        f"Sentence {number} of the text is about {about} and {about}{number}." for number in range(count)
    )
