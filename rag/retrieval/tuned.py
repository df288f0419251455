"""The numbers that steer a ranking, as they were learned or chosen on data: `artefacts/rag-ranking.json`.

The non-obvious decision: they are no settings. They hold together, and for the encoder that they were chosen with;
artefacts/README.md says where they are from. Bounds, which only keep a search from taking long, stay beside what
they bound.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from rag.retrieval.shipped import shipped

_FILE = "rag-ranking.json"
_Positive = Annotated[float, Meta(gt=0)]
_Count = Annotated[int, Meta(ge=1)]
_Share = Annotated[float, Meta(ge=0, le=1)]


class Shares(Struct, frozen=True, forbid_unknown_fields=True):
    """What the rankings by words and by meaning count when they are fused, and the constant of reciprocal ranks."""

    words: _Positive
    meaning: _Positive
    constant: _Count


class Fit(Struct, frozen=True, forbid_unknown_fields=True):
    """Four things of a passage, each 0 to 1 (a cosine may be below): see `rag.retrieval.reranking`. As weights:
    what each adds to the log odds of two passages."""

    words: float
    meaning: float
    pairs: float
    spoken: float


class History(Struct, frozen=True, forbid_unknown_fields=True):
    """When a turn cannot stand alone, and what those before it weigh.

    It cannot with `few_words` words of its own or fewer, or where the share `goes_on` of them was said before. A
    word of the turn before weighs `said`, of each turn before that `fades` times as much, for `turns` turns; the
    `most_answered` rarest words of the last answer weigh `answered`.
    """

    few_words: int
    goes_on: _Share
    turns: _Count
    said: _Share
    fades: _Share
    answered: _Share
    most_answered: int


class Worth(Struct, frozen=True, forbid_unknown_fields=True):
    """What is worth its tokens. A passage below the probability `least` is not taken, except the best one. `ease`
    is the power of its tokens that a probability is divided by: 1 would fill the budget with scraps, 0 ignore
    length."""

    least: _Share
    ease: _Share


class Tuned(Struct, frozen=True, forbid_unknown_fields=True):
    """What ships."""

    shares: Shares
    fit: Fit
    history: History
    worth: Worth

    @classmethod
    def read(cls, path: Path) -> Tuned:
        """Raises OSError, and ValueError for what is no such file."""
        return msgspec.json.decode(path.read_bytes(), type=cls)

    def write(self, path: Path) -> None:
        """Raises OSError."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")


@cache
def tuned() -> Tuned:
    """What ships, read once. Raises what `Tuned.read` raises."""
    return Tuned.read(shipped(_FILE))
