"""Questions that mean the same, and questions that resemble each other.

The non-obvious decision: no chains. A question joins the first earlier one that leads a group and is near enough,
and never one that only joined itself. Each question of a group is thus as near to its leader as the threshold says,
and a long row of small steps cannot make one group of everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cache.matching.opposites import OPPOSITES
from cache.matching.words import Kind, kind_of, parts, stem_of

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

SAME = 0.95
"""Cosine from which two questions are one, unless their `Marks` differ.

`benchmarks/eval_alike.py` with all-MiniLM-L6-v2, on questions of public sets whose answers are labelled: of the
pairs that it joins 97 to 100 % have one answer in four of the sets (medical, reading, course and forum questions),
88 and 72 % in two where only a name differs ("rivers in Texas", "rivers in Alaska"), which no vector tells apart.
Up to 1 % of all questions of the first are lost by that, 3 and 7 % of the last two. At 0.90 it would be up to 2 and
18 %.
"""
RESEMBLING = 0.75
"""Cosine from which questions are of one cluster.

In the same run 77 to 99 % of the questions that have a twin with the same answer have one as near as this, and 3 to
37 % of all have a nearest neighbour with another answer. Too wide a cluster makes intervals too wide, too narrow a
one makes them too short, which is worse.
"""

_BLOCK = 512
"""Questions that are compared at once: their cosines with 20,000 leaders take 40 MB."""
_LONGEST = 2_000
_WORD = re.compile(r"\d+(?:[.,:/]\d+)*|[^\W_]+(?:['’][^\W\d_]+)*|[%$€£]")
_DENIALS = frozenset(
    ("no", "nunca", "jamás", "jamas", "sin", "ni", "ningún", "ningun", "ninguno", "ninguna", "nadie", "tampoco")
)
"""Spanish ones; those of English are the cache's."""
_EXACT = (Kind.NUMBER, Kind.CODE, Kind.DATE)
_NUMBERS = ("dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve", "diez", "once", "doce")
_SPANISH_NUMBERS = {word: str(number) for number, word in enumerate(_NUMBERS, 2)}


@dataclass(frozen=True, slots=True)
class Marks:
    """What keeps questions apart however near their vectors are: numbers, codes, dates, a denial, an opposite."""

    exact: tuple[str, ...]
    denied: bool
    stems: frozenset[str]

    @classmethod
    def of(cls, text: str) -> Marks:
        words = [part for token in _WORD.findall(text[:_LONGEST]) for part in parts(token)]
        words = [_SPANISH_NUMBERS.get(word, word) for word in words]
        kinds = [kind_of(word) for word in words]
        return cls(
            exact=tuple(sorted(word for word, kind in zip(words, kinds, strict=True) if kind in _EXACT)),
            denied=any(word in _DENIALS or kind is Kind.DENIAL for word, kind in zip(words, kinds, strict=True)),
            stems=frozenset(map(stem_of, words)),
        )

    def agree_with(self, other: Marks) -> bool:
        return self.exact == other.exact and self.denied == other.denied and not _opposed(self.stems, other.stems)


def _opposed(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether a word that only one has is the opposite of a word that only the other has."""
    rest = other - one
    return any(not OPPOSITES[stem].isdisjoint(rest) for stem in one - other if stem in OPPOSITES)


def led_by(
    vectors: Vectors,
    least: float,
    *,
    agree: Callable[[int, int], bool] | None = None,
    step: Callable[[int], object] | None = None,
) -> list[int]:
    """For each row of `vectors`, in order, the place of the one that leads its group: its own, or an earlier one.

    A question joins the first leader with a cosine of at least `least` that it may `agree` with, told by places.
    `step` is called with how many are done. Takes blocks of rows, so memory grows with the number of groups alone.
    """
    import numpy as np

    leader: list[int] = []
    leaders: list[int] = []
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        earlier = len(leaders)
        near: list[list[int]] = [[] for _ in block]
        if leaders:
            for row, column in zip(*np.nonzero(block @ vectors[leaders].T >= least), strict=True):
                near[row].append(leaders[column])
        within = block @ block.T >= least
        for row in range(len(block)):
            place = start + row
            here = [one for one in leaders[earlier:] if within[row, one - start]]
            found = next((one for one in [*near[row], *here] if agree is None or agree(place, one)), place)
            leader.append(found)
            if found == place:
                leaders.append(place)
        if step is not None:
            step(start + len(block))
    return leader


def plain(text: str) -> str:
    """`text` in lower case, with a blank for whatever is no letter, digit or money sign."""
    return " ".join(_WORD.findall(text.casefold())) or text
