"""The plain verifier: the nearer two vectors, the likelier the same. What others ship, and where measures begin."""

from __future__ import annotations

from collections.abc import Sequence


class CosineVerifier:
    """A `Verifies`. Its scores are cosines, not probabilities; the acceptance policy only needs their order."""

    version = "cosine"

    def profile(self, text: str) -> str:
        return text

    def judge(self, query: str, stored: Sequence[str], similarities: Sequence[float]) -> list[float]:
        """Cosines as scores from 0 to 1."""
        return [max(0.0, min(1.0, similarity)) for similarity in similarities]
