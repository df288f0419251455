"""An encoder for tests that need no model: the same text gives the same vector in every process."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from contracts.errors import EncoderUnavailable

if TYPE_CHECKING:
    from contracts.ports import Vector

DIMENSIONS = 64


class WordEncoder:
    """An `Encoder`: each word is a direction, a text their sum. `up` may be set.

    The same words in another order have cosine 1; texts that share no word have one near 0.
    """

    def __init__(self, dimensions: int = DIMENSIONS, version: str = "words-1") -> None:
        self.version = version
        self.dimensions = dimensions
        self.up = True
        self.encoded: list[str] = []
        """What it was asked for."""

    async def encode(self, text: str) -> Vector:
        if not self.up:
            raise EncoderUnavailable("The encoder was taken down.")
        self.encoded.append(text)
        words = re.findall(r"\w+", text.lower()) or [""]
        total = np.sum([_direction(word, self.dimensions) for word in words], axis=0)
        vector: Vector = (total / np.linalg.norm(total)).astype(np.float32)
        vector.flags.writeable = False
        return vector


def _direction(word: str, dimensions: int) -> Vector:
    seed = int.from_bytes(blake2b(word.encode(), digest_size=8).digest())
    direction: Vector = np.random.default_rng(seed).standard_normal(dimensions).astype(np.float32)
    return direction
