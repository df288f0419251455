"""`similarity`: how near the answer is in meaning to `expected.reference`.

What must be said word by word is no reference: a case with `expected.answer` alone is left to `exact` and its like.

The cosine of the encoder's vectors, where less than 0 counts as 0. It tells subjects apart, not facts: a wrong
number or a "not" hardly moves it, and an encoder only reads the beginning of a long text. Use it for
drift, not for truth.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from pydantic import Field

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.port import Instruments, Settings

_REVISION = 1


class SimilaritySettings(Settings):
    kind: Literal["similarity"] = "similarity"
    at_least: float | None = Field(None, gt=0, le=1)
    """Score 1 from this cosine on, and 0 below; left out, the cosine is the score."""


class Similarity:
    kind: ClassVar[str] = "similarity"
    model: str = ""

    def __init__(self, settings: SimilaritySettings, instruments: Instruments) -> None:
        self.name = settings.called
        encoder = f"-{instruments.encoder}" if instruments.encoder else ""
        self.version = settings.version(_REVISION) + encoder
        self.binary = settings.at_least is not None
        self._at_least = settings.at_least
        self._encode = instruments.encode

    def lacks(self, case: Case) -> str:
        if "reference" not in case.expected:
            return "`expected.reference`"
        reference = case.expected["reference"]
        if not isinstance(reference, str) or not reference.strip():
            raise ValueError("expected.reference: must be a text, and not empty")
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        """Raises OSError or ValueError, with advice, where there is no encoder."""
        if not answer.text.strip():
            return Score(value=0, why="says nothing")
        cosine = await asyncio.to_thread(self._cosine, answer.text, case.expected["reference"])
        if self._at_least is None:
            return Score(value=cosine)
        if cosine >= self._at_least:
            return Score(value=1)
        return Score(value=0, why=f"similarity {cosine:.2f}, below {self._at_least:g}")

    def _cosine(self, text: str, reference: str) -> float:
        one, other = self._encode([text, reference])
        return min(max(float(one @ other), 0.0), 1.0)
